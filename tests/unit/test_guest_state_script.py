"""What a worker's host does with states (guest-state.sh), with stand-ins for libvirt and for the guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from q8s_infra.remote import HOSTSCRIPTS
from tests.unit.hostscript import step


def said(tmp_path: Path, commands: str, *, stand_ins: str, **variables: object) -> list[str]:
    """What the commands print, in which ``states`` and ``virsh`` say what they are asked for."""
    given = " ".join(f"{name}={value}" for name, value in {"domain": "guest", "key": "b", **variables}.items())
    asked = 'states() { echo "states $*"; }; virsh() { echo "virsh $2"; }; progress() { :; }'
    done = step(tmp_path, "eval", f"source {HOSTSCRIPTS}/guest-state.sh; {given}; {asked}; {stand_ins}; {commands}")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("runs", "why", "then"),
    [
        ("false", "its emulator has ended, see /var/log/libvirt/qemu/guest.log", "off"),
        ("true", "it has not come to rest within 9 s", "goes on"),
    ],
)
def test_a_guest_that_is_off_before_its_state_is_saved_boots_again(
    tmp_path: Path, runs: str, why: str, then: str
) -> None:
    told = said(
        tmp_path,
        "state_made && echo goes on || echo off; state_given",
        stand_ins=f"rests() {{ false; }}; running() {{ {runs}; }}; progress() {{ echo $*; }}",
        claim="a",
        states=".",
        patience=9,
        made="",
    )
    assert told[1:] == [f"the guest's state is not kept: {why}", "states leave", then]


WHOLE = ["memory", "nvram.fd", "payload.qcow2", "root.qcow2"]


@pytest.mark.parametrize(
    ("saves", "resumes", "then", "files"),
    [
        ("true", "true", ["goes on"], WHOLE),
        ("false", "true", ["states leave", "goes on"], []),
        # It may stand still: it is off before it boots.
        ("true", "false", ["virsh destroy", "off"], WHOLE),
    ],
)
def test_a_guest_goes_on_in_its_own_emulator_when_its_state_is_kept(
    tmp_path: Path, saves: str, resumes: str, then: list[str], files: list[str]
) -> None:
    guest, states = tmp_path / "guest", tmp_path / "states"
    for folder in (guest, states):
        folder.mkdir()
    for name in (*WHOLE[1:], "seed.iso"):
        (guest / name).write_text(name)
    virsh = f"""virsh() {{
        echo "virsh $2"
        case $2 in
            snapshot-create-as) {saves} && touch {states}/.b/memory ;;
            resume) {resumes} ;;
        esac
    }}"""
    told = said(
        tmp_path,
        "state_made && echo goes on || echo off",
        stand_ins=f"rests() {{ :; }}; running() {{ false; }}; step_log=log; {virsh}",
        claim="a",
        guest=guest,
        states=states,
        state=states / "b",
    )
    asked = ["virsh snapshot-create-as", "virsh resume"]
    assert [line for line in told if line not in asked] == then
    assert [line for line in told if line in asked] == asked
    assert sorted(path.name for path in states.rglob("*") if path.is_file()) == files
    assert (guest / "root.qcow2").exists(), "its disk was taken away"


@pytest.mark.parametrize("restored", ["true", "false"])
def test_a_guest_that_does_not_go_on_is_off_before_it_boots(tmp_path: Path, restored: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "memory").touch()
    virsh = f'virsh() {{ echo "virsh $2"; [[ $2 != restore ]] || {restored}; }}'
    told = said(
        tmp_path,
        "state_resumed || echo boots, claims $claim",
        stand_ins=f"answers() {{ false; }}; disks_on() {{ :; }}; states() {{ return 10; }}; {virsh}",
        state=state,
        guest=tmp_path,
        type="a",
        claim="",
    )
    # It may run, stand still or be off: nothing but this is sure.
    assert told == ["virsh restore", "virsh destroy", "boots, claims yes"]
    assert not state.exists()


@pytest.mark.parametrize(
    ("code", "says", "claims", "tells"),
    [(10, "", "yes", []), (11, "", "no", []), (11, "409", "no", ["the state stays on the first control plane: 409"])],
)
def test_state_that_does_not_resume_is_reported_before_it_is_deleted(
    tmp_path: Path, code: int, says: str, claims: str, tells: list[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "memory").touch()
    told = said(
        tmp_path,
        "state_resumed || echo claim ${claim:-no}",
        stand_ins="answers() { false; }; disks_on() { :; }; progress() { [[ $1 != the* ]] || echo $*; }; "
        f"virsh() {{ :; }}; "
        f'states() {{ [[ $1 = report && -e $2/memory ]] || exit 1; printf "{says}"; return {code}; }}',
        state=state,
        guest=tmp_path,
        type="a",
        claim="",
    )
    assert told == [*tells, f"claim {claims}"]
    assert not state.exists()


@pytest.mark.parametrize("accepted", [True, False])
def test_state_is_announced_before_the_guest_gets_its_identity(tmp_path: Path, accepted: bool) -> None:
    """The lines of define-guest.sh from the guest that runs to its end."""
    lines = (HOSTSCRIPTS / "define-guest.sh").read_text().partition("\nlink_current\n")[2]
    for folder in ("guest", "state"):
        (tmp_path / folder).mkdir()
    (tmp_path / "join.json").touch()
    (tmp_path / "state/memory").touch()
    answer = "true" if accepted else "echo no room; return 11"
    told = said(
        tmp_path,
        lines,
        stand_ins="state_find() { :; }; state_resumed() { false; }; boots() { :; }; state_made() { made=yes; }; "
        "install() { echo identity; }; systemctl() { :; }; record_guest() { :; }; "
        f'states() {{ echo "states $1" >&4; [[ $1 != announce ]] || {{ {answer}; }}; }}; '
        "exec 4>&1; progress() { [[ $1 != *kept* ]] || echo $* >&4; }",
        state=tmp_path / "state",
        guest=tmp_path / "guest",
        mark=tmp_path / "guest/whole",
        made="",
        described="which",
    )
    asked = [line for line in told if line != ""]
    if accepted:
        assert asked == ["states announce", "states done", "identity", "states give"]
    else:
        left = ["the guest's state is not kept: no room", "states leave"]
        assert asked == ["states announce", *left, "states done", "identity"]
    assert (tmp_path / "guest/whole").exists()
    assert not (tmp_path / "state/memory").exists()


def test_step_goes_on_where_the_first_control_plane_does_not_answer(tmp_path: Path) -> None:
    told = said(
        tmp_path,
        "state_done; echo on",
        stand_ins="progress() { echo $*; }; states() { echo it does not answer; return 11; }",
    )
    assert told == ["this guest's credential for states ends by itself: it does not answer", "on"]
