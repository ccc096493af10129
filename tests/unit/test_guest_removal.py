"""A guest is removed by the step that defines another one in its place, and by nothing else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from q8s_infra.render.templates import REPOSITORY
from tests.unit.hostscript import stand_in

DEFINE = REPOSITORY / "hostscripts/define-guest.sh"
# define-guest.sh up to where a guest that runs already ends it, in folders of the test's own.
STEP = """
set -Eeuo pipefail
inbox=$PWD domain=guest node=demo-arm-0
progress() { echo "$*"; }
fail() { echo "failed: $*"; exit 1; }
source "$1/guest-removal.sh"
data=$2 guest=$2/guest
update=$3
source <(sed -n '/^described=/,/^install -d/p' "$1/define-guest.sh")
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's folder with a complete guest on it."""
    guest = tmp_path / "data/guest"
    guest.mkdir(parents=True)
    (guest / "whole").touch()
    (guest / "root.qcow2").touch()
    for program in ("virsh", "systemctl"):
        stand_in(tmp_path / "bin", program, f'echo {program} "$@" >>"{tmp_path}/calls"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return guest.parent


def defined(folder: Path, data: Path, machine_id: str, update: str = "no") -> str:
    document = {"identity": {"etc/machine-id": [f"{machine_id}\n", 0o444]}}
    (folder / "join.json").write_text(json.dumps(document))
    words = ["bash", "-c", STEP, "bash", str(REPOSITORY / "hostscripts"), str(data), update]
    done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) is ("failed: " not in done.stdout), done.stderr
    return done.stdout


def test_a_guest_of_another_description_is_removed_first(tmp_path: Path, data: Path) -> None:
    (data / "guest/described").write_text("aa\n")
    (data / "states").mkdir()
    assert "removing the guest that this one replaces" in defined(tmp_path, data, "bb")
    assert not (data / "guest/root.qcow2").exists()
    assert not (data / "states").exists()
    calls = (tmp_path / "calls").read_text()
    assert calls.index("systemctl stop q8s-join-guest.service") < calls.index("virsh -q undefine --nvram guest")


def test_the_same_guest_stays(tmp_path: Path, data: Path) -> None:
    (data / "guest/described").write_text("aa\n")
    assert defined(tmp_path, data, "aa") == ""
    assert (data / "guest/root.qcow2").exists()
    assert not (tmp_path / "calls").exists()


def test_a_guest_of_an_earlier_release_stays(tmp_path: Path, data: Path) -> None:
    # Its step had a deletion of its own, which has removed it where it was to be replaced.
    assert defined(tmp_path, data, "aa") == ""
    assert (data / "guest/whole").exists()


def test_a_record_that_was_cut_short_removes_nothing(tmp_path: Path, data: Path) -> None:
    (data / "guest/described").touch()
    assert defined(tmp_path, data, "aa") == ""
    assert (data / "guest/whole").exists()


def test_an_update_of_documents_never_removes_a_guest(tmp_path: Path, data: Path) -> None:
    (data / "guest/described").write_text("aa\n")
    assert "the state is older than the host" in defined(tmp_path, data, "bb", update="yes")
    assert (data / "guest/root.qcow2").exists()
    assert not (tmp_path / "calls").exists()


def test_the_record_is_replaced_in_one_step(data: Path) -> None:
    program = 'source "$1"; guest=$2; record_guest aa; cat "$guest/described"; ls "$guest"'
    words = ["bash", "-euc", program, "bash", str(REPOSITORY / "hostscripts/guest-removal.sh"), str(data / "guest")]
    said = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.split()
    assert said == ["aa", "described", "root.qcow2", "whole"]
