"""A snapshot as a file, and what a restore refuses before anything changes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from q8s_infra import hosts as hosts_module
from q8s_infra.cloud import Instance
from q8s_infra.hosts import HostError, Hosts
from q8s_infra.plan import plan
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.sealed import written
from q8s_infra.snapshot import Snapshot, SnapshotError, checked, lay, refuse_living, take
from q8s_infra.spec import SpecErrors, validated
from tests.unit.snapshots import OTHER, PLANNED, SEED, content, finished
from tests.unit.specs import GOOD, spoiled
from tests.unit.stephost import StepHost

MIB = 1 << 20
TAKES_AND_LAYS = """
mount -t tmpfs -o size=16m q8s "$1/run" && exec "$2" -m tests.unit.snapshots "$3" "$1"
"""
"""With no more memory for the host's steps than this."""


def snapshot(version: str) -> Snapshot:
    """One of a version."""
    return Snapshot(Path("file"), SEED, 0, version)


def sealed(path: Path, data: bytes) -> Path:
    with written(path, SEED) as file:
        file.write(data)
    return path


def test_a_file_says_which_version_it_is_of(tmp_path: Path) -> None:
    taken = content("v1.34.4\n")
    found = checked(sealed(tmp_path / "file", taken), SEED)
    assert (found.kubernetes, found.size) == ("1.34.4", len(taken))
    assert b"".join(found.content()) == taken


def test_a_file_of_another_stack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="no snapshot of this stack, or it is damaged"):
        checked(sealed(tmp_path / "file", content("v1.34.4")), OTHER)


@pytest.mark.parametrize(
    "data", [b"", b"nothing", content("v1.34.4")[:40], content("")], ids=["empty", "another", "cut off", "no version"]
)
def test_one_that_is_not_whole_says_so(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SnapshotError, match="not whole"):
        checked(sealed(tmp_path / "file", data), SEED)


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[StepHost, Hosts]:
    """A host in a folder, and the way to it."""
    host = StepHost.made(tmp_path / "host")
    monkeypatch.setattr(hosts_module, "connected", host.connected)
    way: Any = SimpleNamespace(address=lambda _: "127.0.0.1")
    return host, Hosts(way, lambda _: None)


def test_no_file_is_left_where_no_control_plane_gives_a_snapshot(tmp_path: Path, hosts: tuple[StepHost, Hosts]) -> None:
    with pytest.raises(SnapshotError, match="is no control plane of a cluster yet"):
        finished(take(PLANNED, hosts[1], tmp_path / "file", SEED))
    assert [each.name for each in tmp_path.iterdir()] == ["host"]


def test_a_file_that_was_changed_since_it_was_checked_is_not_laid(
    tmp_path: Path, hosts: tuple[StepHost, Hosts]
) -> None:
    host, way = hosts
    host.control_plane(300_000)
    finished(take(PLANNED, way, tmp_path / "file", SEED))
    host.at("/etc/kubernetes/manifests/etcd.yaml").unlink()
    found = checked(tmp_path / "file", SEED)
    data = bytearray((tmp_path / "file").read_bytes())
    data[-1] ^= 1
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(SnapshotError, match="damaged"):
        finished(lay(PLANNED, way, found))
    assert not host.at("/var/lib/q8s-restore").exists()


def test_a_snapshot_without_etcds_data_is_not_laid(tmp_path: Path, hosts: tuple[StepHost, Hosts]) -> None:
    found = checked(sealed(tmp_path / "file", content("v1.34.4")), SEED)
    with pytest.raises(HostError, match=r"has no etcd\.db"):
        finished(lay(PLANNED, hosts[1], found))
    assert not hosts[0].at("/var/lib/q8s-restore").exists()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mib", [256, pytest.param(1024, marks=pytest.mark.full)])
def test_a_snapshot_that_is_larger_than_memory_is_taken_and_laid(tmp_path: Path, mib: int) -> None:
    host = StepHost.made(tmp_path / "host")
    namespace = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("the kernel gives mounts of its own to root alone")
    done = subprocess.run(
        [*namespace, "bash", "-c", TAKES_AND_LAYS, "bash", host.root, sys.executable, str(mib * MIB)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    grown = json.loads(done.stdout.splitlines()[-1])
    # In KiB, both: what this program needs more, and the largest of the host's processes.
    assert grown["own"] < 64 << 10
    assert grown["children"] < 160 << 10
    with host.at("/var/lib/q8s-restore/etcd.db").open("rb") as laid:
        assert hashlib.file_digest(laid, "sha256").hexdigest() in (host.root / "saved").read_text()
    assert list(host.at("/var/lib/q8s/steps").iterdir()) == []
    for file in (host.root / "file.snapshot", host.at("/var/lib/q8s-restore/etcd.db")):
        file.unlink()


def test_what_is_left_of_the_old_control_planes_is_in_the_way() -> None:
    planned = plan(validated(spoiled("controlPlanes/count", 3)))
    names = [node.name for node in planned.control_planes]
    there = {name: Instance("ACTIVE", "", "10.0.0.1", "") for name in names}
    with pytest.raises(SpecErrors) as raised:
        refuse_living(planned, there, snapshot("1.33.1"))
    told = str(raised.value)
    assert f"openstack server delete {names[1]}" in told
    assert f"openstack server delete {names[2]}" in told
    assert f"openstack server delete {names[0]}" not in told
    assert "1.33.1" in told


def test_a_patch_of_the_same_minor_is_no_obstacle() -> None:
    planned = plan(validated(GOOD))
    major, minor, _ = planned.spec.kubernetes.version.split(".")
    refuse_living(planned, {}, snapshot(f"{major}.{minor}.0"))
