"""A lab beside the one in use, broken and mended: services killed under a living host, and everything gone at its end.

Runs outside of any lab's namespace: ``make test-full``.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import namespace, times
from lab.artifact import REPOSITORY
from lab.hosts import cgroups

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

CREATE = """
import openstack
cloud = openstack.connect(cloud="q8s")
group = cloud.create_security_group("survivor", "tests/lifecycle")
cloud.create_security_group_rule(group.id, port_range_min=22, port_range_max=22, protocol="tcp")
server = cloud.create_server(
    "survivor", image="debian-12", flavor="c1.small", network="private", security_groups=["survivor"], auto_ip=False
)
server = cloud.compute.wait_for_server(server, wait=120)
print(server.id, next(iter(server.addresses.values()))[0]["addr"])
"""
STATUS = """
import openstack
print(openstack.connect(cloud="q8s").compute.find_server("survivor").status)
"""
REACH = """
import socket, sys
socket.create_connection((sys.argv[1], 22), 5).close()
"""


KILLS = 10
UP_SECONDS = 45
"""A start from nothing takes about as long on a quiet machine."""
DEMO_KILLS = 5
DEMO_SECONDS = 240
"""A demo on a lab that is up takes about as long."""


def eventually(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until the condition holds, and fail with ``what`` did not happen otherwise."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.5)


@dataclass(frozen=True)
class Host:
    """A server, its address and the process that is its first."""

    id: str
    address: str
    init: int


@dataclass(frozen=True)
class Lab:
    """A lab in folders of its own."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """What tells a lab's commands which lab they are for."""
        return {
            **os.environ,
            **times.variables(self.root),
            "OS_CLIENT_CONFIG_FILE": str(self.root / "state/clouds.yaml"),
        }

    def __call__(self, *words: str, check: bool = True) -> str:
        """What a command of the lab prints."""
        done = subprocess.run(
            [sys.executable, "-m", "lab", *words],
            cwd=REPOSITORY,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def python(self, script: str, *words: str) -> str:
        """What a script prints that runs inside."""
        return self("enter", sys.executable, "-c", script, *words).strip()

    def processes(self) -> dict[str, int]:
        """Process numbers of the services and of supervisord, by name."""
        control = [
            str(Path(sys.executable).with_name("supervisorctl")),
            f"--serverurl=unix://{self.root}/run/supervisor.sock",
        ]
        # It exits with 3 where a program is not running.
        lines = subprocess.run([*control, "status"], capture_output=True, text=True, check=False).stdout.splitlines()
        pids = {line.split()[0]: int(line.split("pid ")[1].split(",")[0]) for line in lines if " pid " in line}
        return {**pids, "supervisord": int((self.root / "run/supervisord.pid").read_text())}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab that is up."""
    assert not namespace.is_inside(), "a lab can't be started from inside another"
    with times.folders() as root:
        lab = Lab(root)
        try:
            lab("up")
            yield lab
        finally:
            lab("down", "--wipe", check=False)


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    """A host that runs, and must go on doing so."""
    server, address = lab.python(CREATE).split()
    eventually(lambda: _reached(lab, address), "SSH at the host")
    return Host(server, address, min(cgroups.members(f"q8s-{server}")))


def _reached(lab: Lab, address: str) -> bool:
    """Whether a host's SSH port answers."""
    words = [sys.executable, "-m", "lab", "enter", sys.executable, "-c", REACH, address]
    return subprocess.run(words, cwd=REPOSITORY, env=lab.environment, capture_output=True, check=False).returncode == 0


def test_a_lab_that_is_up_stays_as_it_is(lab: Lab) -> None:
    before = lab.processes()
    assert "there" in lab("up")
    assert lab.processes() == before
    lab("status")


def test_a_killed_service_comes_back_under_a_living_host(lab: Lab, host: Host) -> None:
    for name in lab.processes():
        killed = lab.processes()[name]
        os.kill(killed, signal.SIGKILL)
        lab("up")
        lab("status")
        assert lab.processes()[name] != killed
        assert lab.python(STATUS) == "ACTIVE", name
        assert min(cgroups.members(f"q8s-{host.id}")) == host.init, f"{name}: the host was started anew"
        assert _reached(lab, host.address), name


def test_hosts_come_back_after_a_machine_that_lost_its_power(lab: Lab, host: Host) -> None:
    def alive() -> set[int]:
        return {*_members(_namespace(lab)), *cgroups.members(f"q8s-{host.id}")}

    def none_after_killing() -> bool:
        for pid in alive():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not alive()

    eventually(none_after_killing, "the end of all processes")
    lab("up")
    eventually(lambda: lab.python(STATUS) == "ACTIVE", "the host's state")
    eventually(lambda: _reached(lab, host.address), "SSH at the host")


def _kill_supervisord(lab: Lab) -> None:
    os.kill(lab.processes()["supervisord"], signal.SIGKILL)


def _let_go_of_the_namespace(lab: Lab) -> None:
    for name in ("net", "mnt"):
        subprocess.run(["umount", lab.root / "run/ns" / name], check=True, timeout=30)


def _nothing(_: Lab) -> None:
    pass


@pytest.mark.parametrize("damage", [_kill_supervisord, _let_go_of_the_namespace, _nothing])
def test_nothing_is_left_of_a_lab_that_is_down(lab: Lab, host: Host, damage: Callable[[Lab], None]) -> None:
    lab("up")
    eventually(lambda: bool(cgroups.members(f"q8s-{host.id}")), "the host's start")
    inside, links = _namespace(lab), _links()
    assert _members(inside)
    damage(lab)
    lab("down")
    eventually(lambda: not _members(inside), "the end of all processes", seconds=10)
    assert str(lab.root) not in Path("/proc/self/mounts").read_text()
    eventually(lambda: str(lab.root) not in _disks(), "the end of the hosts' disks", seconds=10)
    assert not (lab.root / "run").exists()
    assert not cgroups.members(f"q8s-{host.id}")
    assert _links() == links
    assert (lab.root / "state").exists()


def test_a_lab_comes_up_on_what_a_restarted_machine_has_kept_of_its_run_folder(lab: Lab) -> None:
    lab("down")
    for file in ("ns/net", "ns/mnt", "ns/ready", "netns/q8s-gw", "supervisor.sock", "outcomes.json"):
        path = lab.root / "run" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (lab.root / "run/supervisord.pid").write_text("1\n")
    lab("up")
    lab("status")


def test_a_killed_start_is_completed_by_the_next(lab: Lab) -> None:
    seed = int(os.environ.get("Q8S_SEED") or time.time())
    print(f"Q8S_SEED={seed}")
    moments = random.Random(seed)
    for _ in range(KILLS):
        lab("down", "--wipe")
        _killed(lab, moments.uniform(0.5, UP_SECONDS), "up")
        lab("up")
        lab("status")
        assert lab.python("import openstack; print(openstack.connect(cloud='q8s').current_project_id)")


def test_a_killed_demo_is_completed_by_the_next(lab: Lab) -> None:
    seed = int(os.environ.get("Q8S_SEED") or time.time())
    print(f"Q8S_SEED={seed}")
    moments = random.Random(seed)
    lab("up")
    demo = ("enter", sys.executable, "-m", "lab.demo")
    for _ in range(DEMO_KILLS):
        _killed(lab, moments.uniform(5, DEMO_SECONDS), *demo, "up", "--cluster", "dev")
    said = lab(*demo, "up", "--cluster", "dev")
    assert "a pod on amd64: demo-amd64 x86_64" in said
    assert "a pod on arm64: demo-arm64 aarch64" in said
    lab(*demo, "down")


def test_nothing_is_left_of_a_lab_that_is_wiped(lab: Lab) -> None:
    lab("down", "--wipe")
    assert [path.name for path in lab.root.iterdir()] == ["run.lock"]


def _killed(lab: Lab, seconds: float, *words: str) -> None:
    """Run a command of the lab, and kill it with all that it has started after so many seconds."""
    run = subprocess.Popen(
        [sys.executable, "-m", "lab", *words],
        cwd=REPOSITORY,
        env=lab.environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    print(f"killed after {seconds:.1f} s")
    with suppress(subprocess.TimeoutExpired):
        run.wait(seconds)
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait(30)


def _namespace(lab: Lab) -> int:
    """The number of the lab's network namespace."""
    return (lab.root / "run/ns/net").stat().st_ino


def _members(network: int) -> set[int]:
    """Processes in a network namespace."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            if path.stat().st_ino == network:
                found.add(int(path.parts[2]))
        except OSError:
            continue
    return found


def _links() -> set[str]:
    """The machine's own network interfaces."""
    said = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True).stdout
    return {link["ifname"] for link in json.loads(said)}


def _disks() -> str:
    """The machine's loop devices, with the files that they stand for."""
    return subprocess.run(["losetup", "--all"], capture_output=True, text=True, check=True).stdout
