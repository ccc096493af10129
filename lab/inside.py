"""What happens inside the lab's namespace: services up, services down."""

from __future__ import annotations

import sys
from pathlib import Path

from openstack.connection import Connection
from openstack.exceptions import SDKException

from lab import files, layout, remains, router
from lab.command import run
from lab.hosts import lifecycle
from lab.mirrors.serve import Mirrors
from lab.openstack import catalogue, databases, settings
from lab.openstack.passwords import Passwords
from lab.openstack.programs import broker_configuration, keystone_server, programs
from lab.openstack.venv import VENV
from lab.services import LabError, wait_until
from lab.steps import Steps
from lab.supervisor import Supervisor

OUTCOMES = layout.RUN / "outcomes.json"
_READY_SECONDS = 90
_NETWORK_AGENTS = {"neutron-linuxbridge-agent", "neutron-l3-agent"}


def up() -> None:
    """Start all services in their order; what runs already stays."""
    remains.mark()
    steps, passwords, mirrors = Steps(), Passwords.load(layout.SECRETS), Mirrors()
    cloud_programs, mirror_programs = programs(VENV.path, _prepare(passwords)), mirrors.programs()
    supervisor = Supervisor()
    with steps.step("mirrors"):
        router.ensure()
        mirrors.write()
        supervisor.ensure([*cloud_programs.all, *mirror_programs])
        supervisor.start(mirror_programs)
    with steps.step("database and broker"):
        databases.initialise()
        # A broker that finds no port mapper starts one of its own.
        mapper, *others = cloud_programs.infrastructure
        supervisor.start([mapper])
        supervisor.start(others)
    with steps.step("database schemas") as outcome:
        if databases.is_migrated():
            outcome.how = "there"
        else:
            databases.create(passwords)
            outcome.how = "cached" if databases.migrate() is None else "built"
            databases.bootstrap_identity(passwords)
            databases.note_migrated()
    with steps.step("identity, images, placement"):
        supervisor.start(cloud_programs.identity)
        if catalogue.register_services(catalogue.administrator(passwords), passwords):
            # Each of its processes remembers the catalogue that it knew.
            supervisor.stop("keystone")
            supervisor.start(cloud_programs.identity)
        # Anew: a connection keeps the catalogue that it first saw.
        cloud = catalogue.administrator(passwords)
    with steps.step("compute and network"):
        supervisor.start(cloud_programs.services)
        # Meanwhile the services' workers come up: what an agent asks before that, it asks again a minute later.
        catalogue.set_up(cloud, passwords)
        supervisor.start(cloud_programs.agents)
    with steps.step("agents report"):
        wait_until("nova-compute and the network agents", lambda: _agents_up(cloud), seconds=_READY_SECONDS)
        databases.discover_hosts()
    steps.save(OUTCOMES)


def status() -> dict[str, str]:
    """State of each service, in supervisord's words."""
    supervisor = Supervisor()
    return supervisor.states() if supervisor.answers() else {}


def down() -> None:
    """Stop the services, then the hosts, then the network: the reverse of how they came."""
    supervisor = Supervisor()
    if supervisor.answers():
        supervisor.stop("nova-compute")
        supervisor.stop("neutron-linuxbridge-agent")
    lifecycle.stop_all(layout.INSTANCES)
    supervisor.shutdown()
    router.remove()
    _remove_links()


def _prepare(passwords: Passwords) -> dict[str, str]:
    """Make the folders and write the configuration.

    Returns:
        The files' texts by their paths under ``layout.ETC``.
    """
    for folder in (
        "nova/instances",
        "neutron",
        "glance/images",
        "glance/staging",
        "glance/tasks",
        "rabbitmq",
        "cinder/volumes",
    ):
        (layout.STATE / folder).mkdir(parents=True, exist_ok=True)
    for folder in ("fernet", "credential"):
        (layout.STATE / "keystone" / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in (layout.LOGS, layout.RUN / "lock"):
        path.mkdir(parents=True, exist_ok=True)
    texts = {
        **settings.all_files(passwords, VENV.path),
        "rabbitmq/rabbitmq.conf": broker_configuration(passwords),
        "keystone/gunicorn.conf.py": keystone_server(),
    }
    for file, text in texts.items():
        target = layout.ETC / file
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write(target, text)
    return texts


def _agents_up(cloud: Connection) -> bool:
    try:
        compute = any(it.binary == "nova-compute" and it.state == "up" for it in cloud.compute.services())
        return compute and {agent.binary for agent in cloud.network.agents() if agent.is_alive} >= _NETWORK_AGENTS
    except SDKException:
        return False


def _remove_links() -> None:
    """Bridges and taps that Neutron made; filters and sets go with the namespace."""
    for path in Path("/sys/class/net").iterdir():
        if path.name.startswith(("brq", "tap")):
            run("ip", "link", "delete", path.name, limit=60, check=False)


def _main() -> None:
    try:
        {"up": up, "down": down}[sys.argv[1]]()
    except LabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
