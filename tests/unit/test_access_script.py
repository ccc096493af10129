"""What ``hostscripts/access.sh`` tells a host's sshd."""

from __future__ import annotations

import subprocess
from pathlib import Path

from q8s_infra.render.templates import REPOSITORY
from tests.unit.hostscript import LIMIT

STEP = """
set -Eeuo pipefail
inbox=$PWD sshd_configuration=$PWD/etc
mkdir -p access
source <(sed -n '/^# place FILE/,$p' "$1/lib.sh")
source "$1/access.sh"
sshd() { [[ $2 = -o && $3 = "$known" ]]; }
systemctl() { echo "$*" >>systemctl; }
known=$2
unused_connections
"""


def told(folder: Path, known: str) -> list[str]:
    """What systemd is told, on a host whose sshd knows this option."""
    words = ["bash", "-c", STEP, "bash", REPOSITORY / "hostscripts", known]
    subprocess.run(words, cwd=folder, check=True, timeout=LIMIT)
    log = folder / "systemctl"
    return log.read_text().splitlines() if log.exists() else []


def test_unused_connections_end_where_sshd_can_do_that(tmp_path: Path) -> None:
    option = "UnusedConnectionTimeout=60"
    assert told(tmp_path, option) == ["try-reload-or-restart ssh.service"]
    assert (tmp_path / "etc/60-q8s.conf").read_text() == "UnusedConnectionTimeout 60\n"
    assert told(tmp_path, option) == ["try-reload-or-restart ssh.service"], "nothing changed, and sshd was told again"


def test_an_older_sshd_is_left_alone(tmp_path: Path) -> None:
    assert told(tmp_path, "none") == []
    assert not (tmp_path / "etc").exists()
