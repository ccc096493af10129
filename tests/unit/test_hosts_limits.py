"""A flavor's limits, as the machine's kernel enforces them: real control groups, real disks, no host that boots."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.artifact import REPOSITORY
from lab.hosts import cgroups
from lab.hosts.cgroups import Hierarchy
from lab.hosts.host import Folders, Host, boot_command

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the kernel takes limits from root"),
    pytest.mark.timeout(120),
]
BUSY = "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
CPUS = len(os.sched_getaffinity(0))


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The group that holds all hosts' groups: one of the test's own."""
    name = f"q8s-test-{uuid.uuid4()}"
    monkeypatch.setattr(cgroups, "_PARENT", name)
    yield name
    groups = [folder for each in cgroups.hierarchies() for folder in (each.path / name).glob("*")]
    for host in {group.name for group in groups if group.is_dir()}:
        cgroups.kill(host)
        cgroups.remove(host)
    for each in cgroups.hierarchies():
        with suppress(FileNotFoundError):
            (each.path / name).rmdir()


def controlled_by(controller: str) -> list[Hierarchy]:
    """The machine's v1 hierarchy of a controller, of which nothing else is used."""
    paths = [each.path for each in cgroups.hierarchies() if controller in each.controllers]
    if not paths:
        pytest.skip(f"this machine has no v1 hierarchy of {controller}")
    return [Hierarchy(path, frozenset({controller})) for path in paths]


def started(group: Path, *words: str) -> subprocess.Popen[str]:
    """A process that is in a group from its beginning."""
    script = 'echo $$ >"$0/cgroup.procs"; exec "$@"'
    return subprocess.Popen(["sh", "-c", script, group, *words], stdout=subprocess.PIPE, text=True)


@pytest.mark.usefixtures("parent")
def test_a_host_sees_and_uses_as_many_cpus_as_its_flavor_has() -> None:
    found = controlled_by("cpuset")
    groups = [cgroups.create(name, 64, 1, found)[0] for name in ("a", "b")]
    [roomy] = cgroups.create("c", 64, CPUS + 1, found)
    said = [started(group, "nproc").communicate(timeout=10)[0].strip() for group in (*groups, roomy)]
    assert said == ["1", "1", str(CPUS)]
    if CPUS > 1:
        assert len({(group / "cpuset.cpus").read_text() for group in groups}) == 2


@pytest.mark.usefixtures("parent")
@pytest.mark.skipif(CPUS < 2, reason="one CPU is all that there is")
@pytest.mark.parametrize("controller", ["cpuset", "cpu"])
def test_busy_processes_get_no_more_than_the_flavors_cpus(controller: str) -> None:
    [group] = cgroups.create("a", 64, 1, controlled_by(controller))
    begin, before = time.monotonic(), os.times()
    for process in [started(group, sys.executable, "-c", BUSY) for _ in range(2)]:
        process.communicate(timeout=30)
    seconds, after = time.monotonic() - begin, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used < 1.3 * seconds


def viewed(tmp_path: Path, path: str, group: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    """A command run as a host's is, with VIEW for what the host is shown."""
    host = Host("h", "h", "h", 64)
    boot = boot_command(host, Folders.of(host, tmp_path))
    before = boot[: boot.index("systemd-nspawn")]
    view = Folders.of(host, tmp_path).view
    view.mkdir(parents=True)
    join = f'[ -z "$0" ] || echo $$ >"$0/cgroup.procs"; export VIEW={view}; exec "$@"'
    command = ["sh", "-c", join, str(group or ""), *before, *words]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.usefixtures("parent")
@pytest.mark.skipif(shutil.which("lxcfs") is None, reason="lxcfs is not installed: make lab does that")
def test_a_host_is_shown_its_flavors_memory(tmp_path: Path) -> None:
    [group] = cgroups.create("a", 64, 1, controlled_by("memory"))
    # As from inside a host: its first process is in the group.
    words = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", "grep MemTotal $VIEW/proc/meminfo"]
    done = viewed(tmp_path, os.environ["PATH"], group, *words)
    assert done.stdout.split() == ["MemTotal:", "65536", "kB"], done.stderr
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert not cgroups.members("a")


FILE_SYSTEM = """#!/bin/sh
for view; do :; done
echo $$ >"$view.started"
mkdir "$view/proc"
echo >"$view/proc/meminfo"
exec sleep 60
"""


@pytest.mark.parametrize(
    ("lxcfs", "code", "said"), [(FILE_SYSTEM, 133, "booted\n"), ("#!/bin/sh\necho no fuse; exit 1", 1, "")]
)
def test_a_hosts_exit_code_is_told_and_what_shows_it_the_machine_ends_with_it(
    tmp_path: Path, lxcfs: str, code: int, said: str
) -> None:
    program = tmp_path / "bin/lxcfs"
    program.parent.mkdir()
    program.write_text(lxcfs)
    program.chmod(0o755)
    done = viewed(tmp_path, f"{program.parent}:{os.environ['PATH']}", None, "sh", "-c", "echo booted; exit 133")
    assert (done.returncode, done.stdout) == (code, said)
    assert said or "no fuse" in done.stderr
    started = tmp_path / "h/view.started"
    assert not started.exists() or not Path("/proc", started.read_text().strip()).exists()


DISK = """
import errno, os, pathlib, subprocess, sys, time, uuid
from lab.hosts import lifecycle
from lab.hosts.host import Folders, Host

instances, image = map(pathlib.Path, sys.argv[1:])
hosts = [Host(str(uuid.uuid4()), name, name, 64, cpus=1, disk_gib=1) for name in ("a", "b")]
folders = [Folders.of(host, instances) for host in hosts]
for host in hosts:
    lifecycle.prepare(host, instances, image, [])

def devices(of):
    said = subprocess.run(["losetup", "--noheadings", "-j", of.image], capture_output=True, text=True, timeout=30)
    return said.stdout.split()

def gone(of):
    # The kernel takes a moment for what it unmounts.
    for _ in range(50):
        if not devices(of):
            return True
        time.sleep(0.1)
    return False
"""


def in_own_namespace(tmp_path: Path, script: str) -> Path:
    """Run a script with two hosts that each have a disk of 1 GiB, where its mounts end with it.

    Returns:
        Nova's ``instances_path``.
    """
    image, instances = tmp_path / "image", tmp_path / "instances"
    for folder in (image / "etc", image / "var", instances):
        folder.mkdir(parents=True)
    (image / "etc/os-release").touch()
    words = ["unshare", "--mount", "--propagation=private", sys.executable, "-c", DISK + script, instances, image]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    return instances


def test_a_host_on_a_volume_keeps_all_there_and_leaves_it_to_its_owner(tmp_path: Path) -> None:
    in_own_namespace(
        tmp_path,
        """
volume = instances.parent / "volume"
with volume.open("wb") as file:
    file.truncate(1 << 30)
host = Host(str(uuid.uuid4()), "c", "c", 64, cpus=1, disk_gib=1)
lifecycle.prepare(host, instances, image, [], volume=volume)
of = Folders.of(host, instances)
free = os.statvfs(of.root).f_bavail
(of.root / "etc/some").write_bytes(b"x" * (8 << 20))
os.sync()
assert os.statvfs(of.var).f_bavail < free
assert volume.stat().st_blocks * 512 > 8 << 20
lifecycle.remove(host, instances)
assert not of.top.exists() and volume.stat().st_size == 1 << 30
""",
    )


def test_a_host_fills_its_own_disk_only(tmp_path: Path) -> None:
    in_own_namespace(
        tmp_path,
        """
sizes = [os.statvfs(path) for path in (folders[0].root, folders[0].var)]
assert all(0.9 < size.f_blocks * size.f_frsize / (1 << 30) <= 1 for size in sizes), sizes
assert folders[0].image.stat().st_blocks * 512 < 32 << 20, "an empty disk takes no room"
for place in (folders[0].var, folders[0].root):
    with (place / "large").open("wb") as large:
        try:
            os.posix_fallocate(large.fileno(), 0, 2 << 30)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
        else:
            raise AssertionError("the disk is larger than its flavor's")
    (folders[1].var / "small").write_bytes(bytes(1 << 20))
    (place / "large").unlink()
(folders[0].var / "small").write_bytes(bytes(1 << 20))
""",
    )


def test_a_disk_lives_as_long_as_its_host(tmp_path: Path) -> None:
    in_own_namespace(
        tmp_path,
        """
(folders[0].root / "kept").write_text("yes")
# As hosts that run do: with a copy of the mounts that were there before them.
copy = subprocess.Popen(["unshare", "--mount", "--propagation=slave", "sleep", "60"])
time.sleep(0.5)
lifecycle.release(hosts[0], instances)
assert gone(folders[0]) and devices(folders[1])
lifecycle._mount_disk(folders[0], instances)
lifecycle._mount_root(folders[0], image)
assert (folders[0].root / "kept").read_text() == "yes"
for host, of in zip(hosts, folders):
    lifecycle.remove(host, instances)
    assert not of.top.exists() and gone(of)
copy.kill()
""",
    )


def test_a_disk_is_let_go_of_with_the_namespace(tmp_path: Path) -> None:
    instances = in_own_namespace(tmp_path, "assert all(map(devices, folders))")
    images = list(instances.glob("*/disk.img"))
    assert len(images) == 2
    deadline = time.monotonic() + 10
    while any(str(image) in _loops() for image in images):
        assert time.monotonic() < deadline, _loops()
        time.sleep(0.1)


def _loops() -> str:
    return subprocess.run(["losetup", "--all"], capture_output=True, text=True, check=True, timeout=30).stdout


def test_another_host_begins_with_all_that_one_has_written_and_removed(tmp_path: Path) -> None:
    in_own_namespace(
        tmp_path,
        """
(image / "etc/kept").write_text("image's")
(image / "etc/removed").write_text("image's")
(image / "etc/folder").mkdir()
(image / "etc/folder/old").touch()
written = folders[0]
(written.root / "etc/removed").unlink()
(written.root / "etc/changed").write_text("host's")
(written.root / "etc/folder/old").unlink()
(written.root / "etc/folder").rmdir()
(written.root / "etc/folder").mkdir()
(written.var / "data").write_text("host's")
(written.var / "data").chmod(0o640)
file = instances / "snapshot"
lifecycle.pack(hosts[0], instances, file)
another = Host(str(uuid.uuid4()), "c", "c", 64, cpus=1, disk_gib=1)
lifecycle.prepare(another, instances, image, [], snapshot=file)
of = Folders.of(another, instances)
etc = of.root / "etc"
assert (etc / "kept").read_text() == "image's"
assert (etc / "changed").read_text() == "host's"
assert not (etc / "removed").exists() and not list((etc / "folder").iterdir())
assert (of.var / "data").read_text() == "host's" and (of.var / "data").stat().st_mode & 0o777 == 0o640
""",
    )
