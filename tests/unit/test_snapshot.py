"""A snapshot as a file, and what a restore refuses before anything changes."""

from __future__ import annotations

import io
import stat
import tarfile
from pathlib import Path

import pytest

from q8s_infra.cloud import Instance
from q8s_infra.plan import plan
from q8s_infra.snapshot import Snapshot, SnapshotError, refuse_living, unsealed, write
from q8s_infra.spec import SpecErrors, validated
from tests.unit.specs import GOOD, spoiled

SEED, OTHER = "5e" * 32, "0e" * 32


def snapshot(version: str) -> Snapshot:
    """One with nothing but its version."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        entry = tarfile.TarInfo("./kubernetes-version")
        entry.size = len(version)
        tar.addfile(entry, io.BytesIO(version.encode()))
    return Snapshot(raw.getvalue())


def test_a_file_is_for_its_stack_alone() -> None:
    taken = snapshot("v1.34.4\n")
    sealed = taken.sealed(SEED)
    assert unsealed(sealed, SEED) == taken
    assert unsealed(sealed, SEED).kubernetes == "1.34.4"
    with pytest.raises(SnapshotError, match="no snapshot of this stack"):
        unsealed(sealed, OTHER)


def test_it_is_written_for_its_owner_and_in_place_of_nothing(tmp_path: Path) -> None:
    file = tmp_path / "snapshot"
    write(file, b"sealed")
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    with pytest.raises(FileExistsError):
        write(file, b"another")
    assert file.read_bytes() == b"sealed"


def test_a_changed_file_is_refused() -> None:
    sealed = bytearray(snapshot("v1.34.4\n").sealed(SEED))
    sealed[len(sealed) // 2] ^= 1
    with pytest.raises(SnapshotError, match="damaged"):
        unsealed(bytes(sealed), SEED)


@pytest.mark.parametrize(
    "content", [b"", b"nothing", snapshot("v1.34.4").content[:40]], ids=["empty", "another file", "cut off"]
)
def test_one_that_is_not_whole_says_so(content: bytes) -> None:
    with pytest.raises(SnapshotError, match="not whole"):
        _ = Snapshot(content).kubernetes


def test_what_is_left_of_the_old_control_planes_is_in_the_way() -> None:
    planned = plan(validated(spoiled("controlPlanes/count", 3)))
    names = [node.name for node in planned.control_planes]
    there = {name: Instance("ACTIVE", "", "10.0.0.1", "") for name in names}
    with pytest.raises(SpecErrors) as raised:
        refuse_living(planned, there, snapshot("v1.33.1\n"))
    told = str(raised.value)
    assert f"openstack server delete {names[1]}" in told
    assert f"openstack server delete {names[2]}" in told
    assert f"openstack server delete {names[0]}" not in told
    assert "1.33.1" in told


def test_a_patch_of_the_same_minor_is_no_obstacle() -> None:
    planned = plan(validated(GOOD))
    major, minor, _ = planned.spec.kubernetes.version.split(".")
    refuse_living(planned, {}, snapshot(f"v{major}.{minor}.0\n"))
