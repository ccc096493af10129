"""What a worker's host does with a guest that is off, paused or hangs (q8s-guest-watch.sh, guest-power.sh)."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from q8s_infra.remote import HOSTSCRIPTS
from tests.unit.hostscript import LIMIT, stand_in, step

FULL, ROOM = 3, 900
"""Free MiB."""
IO_ERROR: Final = "paused (I/O error)"


@dataclass(frozen=True)
class Poll:
    """What the host sees at one time: libvirt's state and reason, free MiB, CPU time (ns), disk requests."""

    state: str
    free: int = ROOM
    cpu: int = 0
    requests: int = 0

    def variables(self) -> str:
        """For the stand-ins."""
        number = "-" if self.state.startswith("shut") else "1"
        return "\n".join(
            f"{name}={json.dumps(str(value))}"
            for name, value in {**vars(self), "number": number, "short": self.state.partition(" (")[0]}.items()
        )


VIRSH: Final = """
. {folder}/now
case "$*" in
	"-q list --all") echo " $number   guest   $short" ;;
	"-q domstate --reason guest") echo "$state" ;;
	"-q domstate guest") echo "$short" ;;
	"-q domstats --cpu-total --block guest") printf '%s\\n' "Domain: 'guest'" "  cpu.time=$cpu" \
		"  block.0.name=vda" "  block.0.rd.reqs=$requests" "  block.0.wr.reqs=0" "  block.1.rd.reqs=0" ;;
	*) echo "$*" >>{folder}/asked ;;
esac"""


def host(folder: Path, polls: list[Poll]) -> Path:
    """Programs of a host where time goes on from poll to poll, and ends with them."""
    for number, poll in enumerate(polls, 1):
        (folder / f"poll-{number}").write_text(poll.variables())
    programs = folder / "programs"
    count = f"n=$(($(cat {folder}/count 2>/dev/null || echo 0) + 1)); echo $n >{folder}/count"
    stand_in(programs, "sleep", f"{count}; cp {folder}/poll-$n {folder}/now 2>/dev/null")
    stand_in(programs, "virsh", VIRSH.format(folder=folder))
    stand_in(programs, "df", f". {folder}/now; echo Avail; echo $free")
    stand_in(programs, "ip", "")
    return programs


def watched(folder: Path, *polls: Poll, quiet: int = 0) -> tuple[list[str], list[str]]:
    """What the watch asks of libvirt, and its log."""
    (folder / "whole").touch()
    environment = {
        **os.environ,
        "PATH": f"{host(folder, list(polls))}:{os.environ['PATH']}",
        "NODE": "demo-arm-0",
        "GUEST_ADDRESS": "127.0.0.1",
        "GUEST_FOLDER": str(folder),
        "QUIET_SECONDS": str(quiet),
        "POLL_SECONDS": "0",
    }
    done = subprocess.run(
        ["bash", HOSTSCRIPTS / "q8s-guest-watch.sh"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    )
    assert not done.stderr
    asked = folder / "asked"
    return asked.read_text().splitlines() if asked.exists() else [], done.stdout.splitlines()


def test_guest_paused_on_a_full_disk_is_resumed_when_there_is_room(tmp_path: Path) -> None:
    asked, log = watched(tmp_path, Poll(IO_ERROR, FULL), Poll(IO_ERROR, FULL), Poll(IO_ERROR, ROOM), quiet=99)
    assert asked == ["-q resume guest"]
    assert log == [
        f"demo-arm-0 is paused: the disk of its host is full, {FULL} MiB are free in {tmp_path}",
        f"demo-arm-0 was paused by an I/O error of its disk, and {ROOM} MiB are free in {tmp_path}: resumed",
    ]


@pytest.mark.parametrize("reason", ["user", "saving", "migrating", "snapshot", "unknown"])
def test_guest_paused_for_another_reason_is_left_alone(tmp_path: Path, reason: str) -> None:
    assert watched(tmp_path, *[Poll(f"paused ({reason})")] * 3) == ([], [])


def test_guest_that_is_off_is_powered_on(tmp_path: Path) -> None:
    asked, log = watched(tmp_path, Poll("shut off (crashed)"))
    assert asked == ["-q start guest"]
    assert log == ["demo-arm-0 is off (shut off (crashed)): powered on"]


def test_idle_guest_that_never_answered_is_reset(tmp_path: Path) -> None:
    asked, _ = watched(tmp_path, Poll("running", cpu=5, requests=9), Poll("running", cpu=5, requests=9))
    assert asked == ["-q reset guest"]


@pytest.mark.parametrize(("cpu", "requests"), [(10**9, 0), (0, 400)], ids=["computing", "file system check"])
def test_guest_that_computes_or_uses_its_disks_is_not_reset(tmp_path: Path, cpu: int, requests: int) -> None:
    polls = [Poll("running", cpu=cpu * turn, requests=requests * turn) for turn in range(1, 5)]
    assert watched(tmp_path, *polls) == ([], [])


def powered(folder: Path, *polls: Poll) -> subprocess.CompletedProcess[str]:
    """What ``pulumi up`` does with a complete guest that it finds, where ``sleep`` brings the next state."""
    programs = host(folder, list(polls))
    (folder / "now").write_text(polls[0].variables())
    (folder / "count").write_text("1")
    words = f"PATH={programs}:$PATH; unset -f sleep; domain=guest; progress() {{ echo $*; }}"
    return step(folder, "eval", f"{words}; source {HOSTSCRIPTS}/guest-power.sh; guest_powered")


@pytest.mark.parametrize(
    ("polls", "said", "asked"),
    [
        ([Poll("running (booted)")], "the guest runs already", ""),
        ([Poll(IO_ERROR), Poll("running")], "the guest was paused on a full disk: resumed", "-q resume guest\n"),
        ([Poll("shut off (destroyed)")], "the guest was off: powered on", "-q start guest\n"),
        ([Poll("paused (user)")], "the guest is paused (user), and stays so: virsh resume guest on its host", ""),
    ],
)
def test_complete_guest_is_found_in_any_state(tmp_path: Path, polls: list[Poll], said: str, asked: str) -> None:
    done = powered(tmp_path, *polls)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(said)
    assert ((tmp_path / "asked").read_text() if (tmp_path / "asked").exists() else "") == asked


def test_guest_that_is_paused_again_needs_room(tmp_path: Path) -> None:
    done = powered(tmp_path, Poll(IO_ERROR), Poll(IO_ERROR))
    assert done.returncode == 1
    assert "the guest is paused, as the disk of its host is full" in done.stderr
