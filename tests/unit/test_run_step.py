"""What run-step.sh hands on to the person who waits: a guest's words cannot steer the terminal."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

from q8s_infra.remote import HOSTSCRIPTS, archive
from tests.unit.hostscript import stand_in

WORDS = (
    b"demo-0: \x1b[31mred\x1b[0m\x1b]0;title\x07 up\n"
    b"demo-0: ok\rdemo-1: failed\n"
    b"\xe2\x80\xaeabc\xe2\x81\xa6 \xc2\x9b2J nul\x00 bell\x07 \xd8\x9c\xe2\x80\xa8|\n"
    b"\ttab, Gr\xc3\xbc\xc3\x9fe, \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x99\x82 \xc3\x9b\r\n"
    b"\x1bPdevice\x1b\\left \x1bc|"
)


def test_progress_of_a_step_has_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    """The real script and the real unit; only systemd is another one, and its folder."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    run = (HOSTSCRIPTS / "run-step.sh").read_text().replace("/run/q8s", str(tmp_path / "run"))
    (scripts / "run-step.sh").write_text(run)
    (scripts / "step-unit.sh").write_text((HOSTSCRIPTS / "step-unit.sh").read_text())
    # The last line has no end, as that of a guest which was cut off.
    encoded = base64.b64encode(WORDS).decode()
    (scripts / "words.sh").write_text(f'base64 -d <<<{encoded} >&2\necho "{{}}"\n')
    programs = tmp_path / "programs"
    # What comes after systemd-run's options runs at once, so nothing is active for systemctl.
    stand_in(programs, "systemd-run", 'while [[ $1 = --* ]]; do shift; done\n"$@"')
    stand_in(programs, "systemctl", "exit 0")
    done = subprocess.run(
        ["bash", scripts / "run-step.sh", "demo-0-words", "words", "60", "demo-0", "guest"],
        input=archive({"document": "x"}).encode(), env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert done.stdout == b"{}\n"
    assert said.splitlines()[:-1] == [
        "demo-0: red up",
        "demo-0: ok demo-1: failed",
        "abc 2J nul bell |",
        "\ttab, Grüße, 漢字 🙂 Û",
    ]
    assert said.splitlines()[-1] == "left |demo-0: words has ended"
    assert not [each for each in said if ord(each) < 32 and each not in "\n\t"]
