"""What run-step.sh hands on: a result once, and a guest's words so that they cannot steer the terminal."""

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


class Steps:
    """The real script and the real unit; only systemd is another one, and its folder."""

    def __init__(self, folder: Path, script: str) -> None:
        """Let the step ``try`` be this script."""
        self.folder = folder / "run"
        self.scripts = folder / "scripts"
        self.scripts.mkdir()
        run = (HOSTSCRIPTS / "run-step.sh").read_text().replace("/run/q8s", str(self.folder))
        (self.scripts / "run-step.sh").write_text(run)
        (self.scripts / "step-unit.sh").write_text((HOSTSCRIPTS / "step-unit.sh").read_text())
        (self.scripts / "try.sh").write_text(script)
        self.programs = folder / "programs"
        # What comes after systemd-run's options runs at once, so nothing is active for systemctl.
        stand_in(self.programs, "systemd-run", 'while [[ $1 = --* ]]; do shift; done\n"$@"')
        stand_in(self.programs, "systemctl", "exit 0")

    def run(self, **said: int) -> subprocess.CompletedProcess[bytes]:
        """Ask for the step once."""
        return subprocess.run(
            ["bash", self.scripts / "run-step.sh", "demo-0-try", "try", "60", "demo-0", "guest"],
            input=archive({"document": "x"}).encode(), stdout=subprocess.PIPE, check=False, timeout=60,
            env={**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}, **{"stderr": subprocess.PIPE, **said},
        )  # fmt: skip


def test_progress_of_a_step_has_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    # The last line has no end, as that of a guest which was cut off.
    encoded = base64.b64encode(WORDS).decode()
    done = Steps(tmp_path, f'base64 -d <<<{encoded} >&2\necho "{{}}"\n').run()
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert done.stdout == b"{}\n"
    assert said.splitlines()[:-1] == [
        "demo-0: red up",
        "demo-0: ok demo-1: failed",
        "abc 2J nul bell |",
        "\ttab, Grüße, 漢字 🙂 Û",
    ]
    assert said.splitlines()[-1] == "left |demo-0: try has ended"
    assert not [each for each in said if ord(each) < 32 and each not in "\n\t"]


def test_a_result_is_delivered_once_also_while_another_reader_is_there(tmp_path: Path) -> None:
    """The other reader's connection is gone, and the host has not noticed yet."""
    steps = Steps(tmp_path, f"echo run >>{tmp_path}/runs; wc -l <{tmp_path}/runs; sleep 1")
    with subprocess.Popen(
        ["bash", "-c", f"until exec 8<{steps.folder}/demo-0-try/readers; do sleep 0.1; done; flock -s 8; cat"],
        stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as other:  # fmt: skip
        assert steps.run().stdout == b"1\n"
        kept = list(steps.folder.glob("demo-0-try.*/outcome"))
        assert kept, "the other one reads it still"
        assert steps.run().stdout == b"2\n", "it runs again"
        assert other.stdin
        other.stdin.close()


def test_a_reader_whose_connection_is_gone_leaves_nothing_behind(tmp_path: Path) -> None:
    """It cannot say that the step has ended, and by then another one has had the result."""
    steps = Steps(tmp_path, "true")
    (steps.scripts / "try.sh").write_text(f"touch {steps.folder}/demo-0-try/delivered; sleep 1")
    reading, writing = os.pipe()
    os.close(reading)
    assert steps.run(stderr=writing).returncode != 0
    os.close(writing)
    assert not list(steps.folder.glob("demo-0-try.*/*"))


def test_a_result_that_reached_no_one_stays_for_the_next_run(tmp_path: Path) -> None:
    steps = Steps(tmp_path, f"echo run >>{tmp_path}/runs; wc -l <{tmp_path}/runs")
    reading, writing = os.pipe()
    os.close(reading)
    assert steps.run(stderr=writing).returncode != 0
    os.close(writing)
    assert steps.run().stdout == b"1\n"
    assert steps.run().stdout == b"2\n"
    assert not list(steps.folder.glob("demo-0-try.*/*"))
