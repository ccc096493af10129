"""How a step waits for another program that has apt's locks (hostscripts/apt.sh)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.unit.hostscript import apt_get, step

LISTS: Final = "/var/lib/apt/lists/lock"
MESSAGE: Final = f"Could not get lock {LISTS}. It is held by process 812 (apt-get)"
LOCKED: Final = f"echo 'E: {MESSAGE}' >&2; echo 'E: Unable to lock directory /var/lib/apt/lists/' >&2; exit 100"


def asked(folder: Path, does: str, command: str = "apt_update") -> subprocess.CompletedProcess[str]:
    """A command whose ``apt-get`` does this; the number of its calls is in ``$calls``."""
    count = f"mapfile -t lines <{folder}/asked; calls=${{#lines[@]}}\n{does}"
    where, path = apt_get(folder, count)
    return step(folder, where, f'{path} progress() {{ echo "progress: $*"; }}; {command}')


def calls(folder: Path) -> int:
    return len((folder / "asked").read_text().splitlines())


@pytest.mark.parametrize("command", ["apt_update", "apt_install curl", "apt_lists_so_far"])
def test_held_lock_is_waited_for_with_one_line(tmp_path: Path, command: str) -> None:
    done = asked(tmp_path, f"if ((calls < 5)); then {LOCKED}; fi", command)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("progress: ")]
    assert lines == [f"progress: waiting for another apt on this host: {MESSAGE}"]
    assert calls(tmp_path) == 5


def test_lock_that_is_held_for_ten_minutes_is_reported_as_a_lock(tmp_path: Path) -> None:
    done = asked(tmp_path, LOCKED)
    assert done.returncode != 0
    assert f"apt is locked on this host for ten minutes: Could not get lock {LISTS}. It is held by" in done.stderr
    assert "signature" not in done.stderr
    assert calls(tmp_path) == 60


def test_any_other_failure_is_the_sources(tmp_path: Path) -> None:
    done = asked(tmp_path, "echo 'E: The repository is not signed.' >&2; exit 100")
    assert done.returncode != 0
    assert "a package source is unreachable or its signature is wrong" in done.stderr
    assert "E: The repository is not signed." in done.stdout, "what apt said is not in the log"
    assert calls(tmp_path) == 4


def test_needrestart_leaves_our_services_alone(tmp_path: Path) -> None:
    """As needrestart reads its drop-ins: Perl, which matches units' names with the keys."""
    done = step(tmp_path, "eval", f"needrestart_configuration={tmp_path}/conf.d; apt_needrestart; apt_needrestart")
    assert done.returncode == 0, done.stderr
    script = (
        'our %nrconf; do "$ARGV[0]" or die; '
        "for my $unit (qw(q8s-step-host.service libvirt-guests.service ssh.service)) { "
        "for my $key (keys %{$nrconf{override_rc}}) "
        '{ print "$unit\\n" if $unit =~ /$key/ && !$nrconf{override_rc}{$key} } }'
    )
    dropin = tmp_path / "conf.d/q8s.conf"
    dropin.write_text(dropin.read_text() + "1;\n")
    left = subprocess.run(["perl", "-e", script, dropin], capture_output=True, text=True, check=True, timeout=60)
    assert left.stdout.split() == ["q8s-step-host.service", "libvirt-guests.service"]
