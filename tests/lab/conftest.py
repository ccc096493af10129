"""The lab level: the real thing. These tests run inside the lab's namespace, against a lab that is up.

``make test`` does that: ``python -m lab enter pytest tests/lab``. Outside of the namespace they are skipped; inside,
whatever does not answer is a failure.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import pytest
from openstack.connection import Connection
from pulumi import automation
from pulumi.automation.events import EngineEvent
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

from lab import demo, layout, namespace
from lab.artifact import REPOSITORY
from lab.hosts import cgroups
from lab.kubectl import Kubectl
from lab.site import AS_PUBLISHED
from lab.stack import environment, open_stack
from tests.lab import servers
from tests.unit import serving

STACK = "lab-test"
HOSTS_ALONE = ("test_hosts.py", "test_init.py", "test_openstack.py", "test_steps.py")
"""Files of tests that make their own hosts and do not mind others."""
KEEP = "Q8S_KEEP_CLUSTER" in os.environ
"""A cluster that is kept is there at once for the next run, while tests are being written."""


keys, group, create, server = servers.keys, servers.group, servers.create, servers.server


@pytest.fixture(scope="session", autouse=True)
def _inside() -> None:
    if not namespace.is_inside():
        pytest.skip("this is not the lab's namespace: make lab, then python -m lab enter pytest")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """For two processes side by side: one for what needs the cluster or counts all of a project, one for the rest."""
    return TwoGroups(config, log)


class TwoGroups(LoadScopeScheduling):  # type: ignore[misc]
    """Groups by files: pytest 9.2 lets nobody add to a test's id, by which xdist 3.8 would group by marks."""

    def _split_scope(self, nodeid: str) -> str:
        return "hosts" if Path(nodeid.partition("::")[0]).name in HOSTS_ALONE else "cluster"


@pytest.fixture(scope="session")
def cloud() -> Connection:
    """OpenStack as the regular member of a project: the only identity that the program ever has."""
    config = openstack.config.OpenStackConfig(config_files=[str(layout.CLOUDS_YAML)], load_envvars=False)
    return Connection(config=config.get_one(layout.CLOUD))


@dataclass
class Cluster:
    """A running cluster and the stack that made it."""

    stack: automation.Stack
    kubectl: Kubectl
    config: dict[str, Any]
    said: list[str]
    log_starts: dict[str, int]

    def log(self, service: str) -> str:
        """What a service of the lab has logged since just before the cluster was made."""
        with (layout.LOGS / f"{service}.log").open() as log:
            log.seek(self.log_starts[service])
            return log.read()

    def describe(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Write the stack's configuration anew: the fixture's own, with a change to the cluster's description."""
        changed = copy.deepcopy(self.config)
        change(changed["q8s:cluster"])
        self.stack = open_stack(self.stack.name, changed)

    def configure(self, *, workers: dict[str, int] | None = None, **fields: dict[str, str]) -> None:
        """Write the stack's configuration anew: the fixture's own, with these counts and fields of types."""
        changed = copy.deepcopy(self.config)
        described = changed["q8s:cluster"]
        described["workers"].update(workers or {})
        for field, values in fields.items():
            for name, value in values.items():
                described["nodeTypes"][name][field] = value
        self.stack = open_stack(self.stack.name, changed)

    def up(self) -> str:
        """Bring the cluster to what is configured; what Pulumi prints."""
        before = len(self.said)
        self.changes()
        return "\n".join(self.said[before:])

    def changes(self) -> dict[str, int]:
        """Bring the cluster to what is configured; how many resources each operation was done to."""
        return dict(self.stack.up(on_output=self.said.append).summary.resource_changes or {})

    def start(self, *, stdout: int) -> subprocess.Popen[bytes]:
        """A run to what is configured, in a process group of its own, for a test to end before its time.

        Args:
            stdout: where what it prints goes, in :class:`subprocess.Popen`'s terms.
        """
        words = ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", self.stack.name]
        return subprocess.Popen(
            [str(layout.TOOLS / "pulumi"), *words],
            cwd=REPOSITORY,
            env={**os.environ, **environment()},
            stdout=stdout,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def preview(self) -> dict[str, set[str]]:
        """What would change: operation to names of resources, `same` left out."""
        steps: dict[str, set[str]] = {}

        def note(event: EngineEvent) -> None:
            if event.resource_pre_event:
                step = event.resource_pre_event.metadata
                steps.setdefault(automation.OpType(step.op).value, set()).add(
                    "::".join(step.urn.split("::")[2:]).split("$")[-1]
                )

        self.stack.preview(on_event=note, on_output=self.said.append, diff=True)
        # Something always stays, the stack itself for one: without it, nothing was told at all.
        del steps["same"]
        return steps

    def nodes(self) -> dict[str, Any]:
        """Kubernetes' nodes by name."""
        return {node["metadata"]["name"]: node for node in self.kubectl.get("nodes")["items"]}

    def guest(self, name: str, command: str) -> str:
        """Run a command in a guest, by a pod that sees its host's files and processes."""
        return self.kubectl("exec", f"look-{name}", "--", "busybox", "chroot", "/host", "/bin/sh", "-c", command)


def q8s(stack: str, command: str, *words: str, folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """A command of the program's own for a stack of a folder, run as its user runs it, without a terminal.

    Its output is in ``stdout``, errors too.
    """
    variables = {**os.environ, **environment(), "COLUMNS": "200", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-m", "q8s_infra", command, "--stack", stack, *words],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@contextmanager
def meanwhile(look: Callable[[], object], seconds: float) -> Iterator[None]:
    """Look again and again, with so many seconds in between, until the end."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(seconds):
            look()

    watcher = threading.Thread(target=again)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def served(folder: Path) -> AbstractContextManager[str]:
    """A folder's files over HTTP, where hosts reach it; the address that their paths follow."""
    return serving.served(folder, layout.MIRROR_ADDRESS)


def inside(cloud: Connection, node: str, process: str = "libvirtd") -> list[str]:
    """The words before a command that is to run on a worker's host, by a process that runs there."""
    server = cloud.compute.find_server(node)
    assert server
    # A process that is inside: the first ones are those that hold the host up from outside.
    members = cgroups.members(f"q8s-{server.id}")
    pid = next(pid for pid in members if _called(pid) == process)
    return ["nsenter", f"--target={pid}", "--all", "--"]


def _called(pid: int) -> str:
    """A process's name; empty where it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@pytest.fixture(scope="session")
def cluster(cloud: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The smallest real cluster: one control plane, one emulated worker of each architecture."""
    config = demo.description("dev", name="test", guests=AS_PUBLISHED)
    stack = open_stack(STACK, config)
    if not KEEP:
        stack.destroy()
    lines: list[str] = []
    log_starts = {path.stem: path.stat().st_size for path in layout.LOGS.glob("*.log")}
    try:
        stack.up(on_output=lines.append)
        kubectl = Kubectl.of(stack, tmp_path_factory.mktemp("cluster") / "kubeconfig")
        yield Cluster(stack, kubectl, config, lines, log_starts)
    finally:
        if not KEEP:
            stack.destroy(remove=True)
            assert not leftovers(cloud, "test"), "destroy leaves something in the project"


@contextmanager
def brought_up(
    cloud: Connection, name: str, config: dict[str, Any], *, on_output: Callable[[str], Any] | None = None
) -> Iterator[automation.Stack]:
    """The stack ``lab-<name>`` with a cluster of that name; both are gone at the end. What is printed is given on."""
    stack = open_stack(f"lab-{name}", config)
    try:
        stack.up(on_output=on_output)
        yield stack
    finally:
        stack.destroy(remove=True)
        assert not leftovers(cloud, name)


def leftovers(cloud: Connection, prefix: str) -> set[str]:
    """What a cluster has in the OpenStack project: names that begin with its own."""
    kinds = (
        cloud.compute.servers(),
        cloud.compute.keypairs(),
        cloud.compute.server_groups(),
        cloud.network.ports(),
        cloud.network.security_groups(),
    )
    named = {each.name for kind in kinds for each in kind if each.name.split("-")[0] == prefix}
    # What an instance boots from has no name: one that is of no instance any more was some cluster's.
    servers = {each.id for each in cloud.compute.servers()}
    volumes = cloud.block_storage.volumes()
    return named | {each.id for each in volumes if not servers & {of["server_id"] for of in each.attachments}}


def run(*words: str) -> str:
    """What a command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
