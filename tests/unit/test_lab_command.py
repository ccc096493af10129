"""Commands with a limit, by real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pulumi import automation

from lab import command
from lab.artifact import Builder, BuildError
from lab.command import CommandError, LabError, run
from lab.services import wait_until
from lab.stack import LimitedPulumi
from tests.unit.hostscript import stand_in

pytestmark = pytest.mark.timeout(60)
# A shell and its child, each of which notes its number; the child heeds no polite signal.
FAMILY = """
echo $$ >>{pids}
sh -c 'trap "" TERM INT; echo $$ >>{pids}; while :; do sleep 1; done' &
echo waiting for the child
wait
"""


def is_gone(pid: int) -> bool:
    """True for a process that has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def assert_family_ended(pids: Path) -> None:
    family = [int(pid) for pid in pids.read_text().split()]
    assert len(family) == 2
    wait_until("the family's end", lambda: all(is_gone(pid) for pid in family), seconds=5)


class TestLimit:
    def test_a_command_in_time_is_let_be(self) -> None:
        done = run("sh", "-c", "sleep 0.2; echo said; echo complained >&2", limit=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, "said\n", "complained\n")

    def test_child_and_grandchild_are_ended(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        with pytest.raises(CommandError, match=r"(?s)^`sh -c .*` was not done after 1 s, and was ended:\nwaiting for"):
            run("sh", "-c", FAMILY.format(pids=pids), limit=1)
        assert_family_ended(pids)

    def test_what_obeys_is_not_killed(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError):
            run("sh", "-c", f"trap 'touch {tmp_path}/obeyed; exit' TERM; while :; do sleep 0.1; done", limit=1)
        assert (tmp_path / "obeyed").exists()

    def test_what_does_not_obey_is_killed_after_the_grace(self) -> None:
        started = time.monotonic()
        with pytest.raises(CommandError):
            run("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done", limit=0.5, grace=0.5)
        assert time.monotonic() - started < 5

    def test_it_holds_without_a_check_too(self) -> None:
        with pytest.raises(CommandError, match=r"not done after 0\.2 s"):
            run("sleep", "60", limit=0.2, check=False)

    def test_a_daemon_that_stays_keeps_nobody_waiting(self, tmp_path: Path) -> None:
        started = time.monotonic()
        run("sh", "-c", f"setsid sleep 30 & echo $! >{tmp_path}/pid", limit=20)
        assert time.monotonic() - started < 10
        daemon = int((tmp_path / "pid").read_text())
        assert not is_gone(daemon)
        subprocess.run(["kill", str(daemon)], check=True)

    def test_an_interrupted_caller_leaves_no_process(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        former = signal.signal(signal.SIGUSR1, interrupt)
        timer = threading.Timer(1, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                run("sh", "-c", FAMILY.format(pids=pids), limit=30)
        finally:
            timer.join()
            signal.signal(signal.SIGUSR1, former)
        assert_family_ended(pids)


class TestFailure:
    def test_an_error_names_the_command_and_its_last_lines(self) -> None:
        with pytest.raises(LabError, match=r"^`sh -c .*` exited 3:\n16\n(\d\d\n)+30$"):
            run("sh", "-c", "seq 30 >&2; exit 3", limit=30)

    def test_what_complains_by_standard_output_is_heard(self) -> None:
        with pytest.raises(CommandError, match=r"exited 1:\nsaid$"):
            run("sh", "-c", "echo said; exit 1", limit=30)

    def test_silence_ends_the_message(self) -> None:
        with pytest.raises(CommandError, match=r"`false` exited 1$"):
            run("false", limit=30)

    def test_exit_codes_are_the_callers_where_they_are_not_checked(self) -> None:
        assert run("sh", "-c", "exit 7", limit=30, check=False).returncode == 7
        assert run("sh", "-c", "kill -9 $$", limit=30, check=False).returncode == -signal.SIGKILL

    def test_a_missing_program_is_told(self) -> None:
        with pytest.raises(CommandError, match=r"`no-such-program -v` can't be started: .*No such file"):
            run("no-such-program", "-v", limit=30)

    def test_bytes_that_are_no_text_are_no_error(self) -> None:
        assert run("printf", r"\377", limit=30).stdout == "\N{REPLACEMENT CHARACTER}"


class TestStreams:
    SECRET = "correct horse battery staple"

    def test_it_reads_what_it_is_given_and_else_nothing(self) -> None:
        assert run("cat", limit=30, stdin=self.SECRET).stdout == self.SECRET
        assert run("cat", limit=30).stdout == ""

    @pytest.mark.parametrize("script", ["cat >/dev/null; exit 1", "cat >/dev/null; sleep 60"])
    def test_what_it_reads_is_in_no_message(self, script: str) -> None:
        with pytest.raises(CommandError) as failed:
            run("sh", "-c", script, limit=0.5, stdin=self.SECRET)
        assert "horse" not in str(failed.value)

    def test_a_log_gets_all_in_order(self, tmp_path: Path) -> None:
        with (tmp_path / "log").open("a") as log:
            done = run("sh", "-c", "echo one; echo two >&2; echo three", limit=30, log=log)
        assert (tmp_path / "log").read_text() == "one\ntwo\nthree\n"
        assert done.stdout == done.stderr == ""

    def test_attached_it_has_the_callers(self, capfd: pytest.CaptureFixture[str]) -> None:
        run("sh", "-c", "echo one; echo two >&2", limit=30, attached=True)
        assert capfd.readouterr() == ("one\n", "two\n")

    def test_environment_and_directory(self, tmp_path: Path) -> None:
        assert run("/bin/sh", "-c", "echo $A; pwd", limit=30, env={"A": "b"}, cwd=tmp_path).stdout == f"b\n{tmp_path}\n"


def test_a_build_step_has_a_limit(tmp_path: Path) -> None:
    builder = Builder(out=tmp_path, log=tmp_path / "log")
    with pytest.raises(BuildError, match=r"(?s)not done after 0\.5 s.*\ncompiling\nlog: .*/log$"):
        builder.run("sh", "-c", "echo compiling; sleep 60", limit=0.5)


class TestProgram:
    WORDS = (sys.executable, "-P", command.__file__)

    def test_it_passes_exit_codes_on(self) -> None:
        assert run(*self.WORDS, "30", "sh", "-c", "exit 7", limit=30, check=False).returncode == 7
        assert run(*self.WORDS, "30", "sh", "-c", "kill -9 $$", limit=30, check=False).returncode == 137

    def test_at_the_limit_it_interrupts_and_says_so(self, tmp_path: Path) -> None:
        script = f"trap 'touch {tmp_path}/interrupted; exit' INT; while :; do sleep 0.1; done"
        done = run(*self.WORDS, "1", "sh", "-c", script, limit=30, check=False)
        assert done.returncode == 124
        assert "was not done after 1 s" in done.stderr
        assert (tmp_path / "interrupted").exists()


@pytest.fixture
def pulumi(tmp_path: Path) -> Callable[[str], LimitedPulumi]:
    """A Pulumi whose every command but ``version`` is a shell script."""

    def make(script: str) -> LimitedPulumi:
        stand_in(tmp_path / "bin", "pulumi", f"if [ $1 = version ]; then echo v3.999.0; exit; fi\n{script}")
        return LimitedPulumi(tmp_path, limit=1)

    return make


class TestPulumi:
    def test_a_run_is_the_sdks(self, pulumi: Callable[[str], LimitedPulumi], tmp_path: Path) -> None:
        lines: list[str] = []
        words = ["up", "--yes", "--", "word"]
        done = pulumi('echo "$@"; echo $Q8S; echo $PATH; pwd').run(words, str(tmp_path), {"Q8S": "x"}, lines.append)
        assert done.stdout.splitlines()[:2] == ["--non-interactive up --yes -- word", "x"]
        assert done.stdout.splitlines()[2:] == [
            *re.findall(".+", run("printenv", "PATH", limit=30).stdout),
            str(tmp_path),
        ]
        assert lines == done.stdout.splitlines()

    def test_its_error_at_the_limit_says_so_and_nothing_is_left(
        self, pulumi: Callable[[str], LimitedPulumi], tmp_path: Path
    ) -> None:
        pids = tmp_path / "pids"
        with pytest.raises(
            automation.CommandError, match=r"(?s)code: 124.*stderr: .*pulumi.* up` was not done after 1 s"
        ):
            pulumi(FAMILY.format(pids=pids)).run(["up"], str(tmp_path), {})
        assert_family_ended(pids)
