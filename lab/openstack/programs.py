"""OpenStack's services as programs of the supervisor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import layout
from lab.artifact import REPOSITORY
from lab.hosts.image import HOST_IMAGE
from lab.openstack.passwords import Passwords
from lab.services import Program

DATABASE_DIRECTORY = layout.STATE / "mariadb"
DATABASE_SOCKET = DATABASE_DIRECTORY / "socket"
BROKER_DIRECTORY = layout.STATE / "rabbitmq"


@dataclass(frozen=True)
class OpenStackPrograms:
    """All of them, by the order in which they can start."""

    infrastructure: tuple[Program, ...]
    identity: tuple[Program, ...]
    services: tuple[Program, ...]
    agents: tuple[Program, ...]

    @property
    def all(self) -> tuple[Program, ...]:
        """Every program."""
        return (*self.infrastructure, *self.identity, *self.services, *self.agents)


def broker_configuration(passwords: Passwords) -> str:
    """The text of rabbitmq.conf."""
    return f"""listeners.tcp.default = {layout.LOOPBACK}:{layout.BROKER_PORT}
default_user = lab
default_pass = {passwords.broker}
total_memory_available_override_value = 2GB
log.console = true
log.file = false
"""


def keystone_server() -> str:
    """The text of gunicorn's configuration for Keystone."""
    return f"""wsgi_app = "keystone.server.wsgi:initialize_public_application()"
bind = "{layout.LOOPBACK}:{layout.KEYSTONE_PORT}"
workers = 2
threads = 4
timeout = 300
"""


def programs(venv: Path, files: Mapping[str, str]) -> OpenStackPrograms:
    """The programs.

    Args:
        venv: where OpenStack is installed.
        files: the configuration files' texts by their paths under ``layout.ETC``. A change restarts those that it is
            for, because a digest is among their variables.
    """
    local, etc = layout.LOOPBACK, layout.ETC
    path = {"PATH": f"{venv}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

    def service(name: str, *words: str | Path, port: int | None = None, **environment: str) -> Program:
        variables = {**path, **_digest(name.split("-", maxsplit=1)[0], files), **environment}
        return Program(name, [venv / "bin" / words[0], *words[1:]], variables, port=(local, port) if port else None)

    nova_conf, neutron_conf = etc / "nova/nova.conf", etc / "neutron/neutron.conf"
    return OpenStackPrograms(
        infrastructure=(_epmd(), _mariadb(), _rabbitmq(files)),
        identity=(
            # Keystone reads the command line itself, so gunicorn's words come by its variable.
            service(
                "keystone",
                "gunicorn",
                port=layout.KEYSTONE_PORT,
                OS_KEYSTONE_CONFIG_DIR=str(etc / "keystone"),
                GUNICORN_CMD_ARGS=f"--config {etc}/keystone/gunicorn.conf.py",
            ),
            service(
                "placement",
                "gunicorn", "--bind", f"{local}:{layout.PLACEMENT_PORT}", "--threads", "8", "--timeout", "300",
                "placement.wsgi:init_application()",
                port=layout.PLACEMENT_PORT,
                OS_PLACEMENT_CONFIG_DIR=str(etc / "placement"),
            ),
            service("glance", "glance-api", "--config-file", etc / "glance/glance-api.conf", port=layout.GLANCE_PORT),
        ),
        services=(
            service(
                "neutron", "python", "-m", "lab.openstack.neutron_server",
                "--config-file", neutron_conf, "--config-file", etc / "neutron/ml2.ini",
                port=layout.NEUTRON_PORT,
                PYTHONPATH=str(REPOSITORY),
            ),
            service(
                "cinder", "python", "-m", "lab.openstack.cinder_services", "--config-file", etc / "cinder/cinder.conf",
                port=layout.CINDER_PORT,
                PYTHONPATH=str(REPOSITORY),
                Q8S_VOLUMES=str(layout.VOLUMES),
            ),
            service("nova-api", "nova-api", "--config-file", nova_conf, port=layout.NOVA_PORT),
            service("nova-conductor", "nova-conductor", "--config-file", nova_conf),
            service("nova-scheduler", "nova-scheduler", "--config-file", nova_conf),
        ),
        agents=(
            service(
                "neutron-linuxbridge-agent", "neutron-linuxbridge-agent",
                "--config-file", neutron_conf, "--config-file", etc / "neutron/linuxbridge.ini",
            ),
            service(
                "neutron-l3-agent",
                "neutron-l3-agent", "--config-file", neutron_conf, "--config-file", etc / "neutron/l3.ini",
            ),
            Program(
                "nova-compute",
                [venv / "bin" / "python", "-m", "lab.hosts.nova_compute", "--config-file", nova_conf],
                {
                    **path,
                    **_digest("nova", files),
                    "PYTHONPATH": str(REPOSITORY),
                    "Q8S_HOST_IMAGE": str(HOST_IMAGE.path),
                },
                # Hosts live on when it is restarted.
                group=False,
            ),
        ),
    )  # fmt: skip


def _mariadb() -> Program:
    words = [
        "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={DATABASE_DIRECTORY}",
        f"--socket={DATABASE_SOCKET}", f"--pid-file={DATABASE_DIRECTORY}/pid", f"--bind-address={layout.LOOPBACK}",
        f"--port={layout.DATABASE_PORT}", "--max-connections=600", "--skip-log-bin", "--performance-schema=OFF",
        "--innodb-buffer-pool-size=128M", "--character-set-server=utf8mb3", "--collation-server=utf8mb3_general_ci",
        # A lab that loses its last second in a power cut is made anew.
        "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
    ]  # fmt: skip
    return Program("mariadb", words, port=(layout.LOOPBACK, layout.DATABASE_PORT), user="mysql")


def _epmd() -> Program:
    words = ["/usr/bin/epmd", "-address", layout.LOOPBACK, "-port", str(layout.EPMD_PORT)]
    return Program("epmd", words, port=(layout.LOOPBACK, layout.EPMD_PORT))


def _digest(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    text = "\0".join(text for path, text in sorted(files.items()) if path.startswith(f"{folder}/"))
    return {"Q8S_CONFIGURATION": hashlib.sha256(text.encode()).hexdigest()[:16]}


def _rabbitmq(files: Mapping[str, str]) -> Program:
    home = BROKER_DIRECTORY
    return Program(
        "rabbitmq",
        ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
        {
            **_digest("rabbitmq", files),
            "HOME": str(home),
            # The script becomes the broker instead of waiting for it, so that what is killed is what is watched.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_CONFIG_FILE": str(layout.ETC / "rabbitmq/rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_PID_FILE": str(layout.RUN / "rabbitmq.pid"),
            "RABBITMQ_NODENAME": "lab@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": layout.LOOPBACK,
            "RABBITMQ_DIST_PORT": "25673",
            "ERL_EPMD_ADDRESS": layout.LOOPBACK,
            "ERL_EPMD_PORT": str(layout.EPMD_PORT),
            # A port mapper of the broker's own would not be the supervisor's to stop.
            "ERL_AFLAGS": "-start_epmd false",
            # "+sbwt none": an idle broker does not spin.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
        },
        port=(layout.LOOPBACK, layout.BROKER_PORT),
    )
