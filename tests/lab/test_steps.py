"""Steps on a real host: they outlive who asked for them, never run twice at once, and leave no document behind."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from q8s_infra.remote import FOLDER, HOSTSCRIPTS, Step, archive, command_line
from tests.lab.servers import Server, eventually

pytestmark = pytest.mark.timeout(120)

SCRIPT = """
. ./lib.sh
[[ ${idle:-} != yes ]] || touch "$inbox/../idle"
echo began >>/var/tmp/trace
progress "began with $(<"$inbox/name")"
until [[ -e /var/tmp/go ]]; do sleep 0.1; done
[[ ${code:-0} = 0 ]] || fail "as asked"
echo ended >>/var/tmp/trace
cat "$inbox/secret" >&3
"""
"""A step that goes on until it is let go."""
SECRET = "correct-horse-battery"
KEY = "node-step"


@dataclass
class Run:
    """Somebody who asked for a step and reads what it says."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    def until(self, sign: str) -> None:
        """Read what the step tells, up to a sign."""
        assert self.process.stderr
        for line in self.process.stderr:
            self.said.append(line)
            if sign in line:
                return
        raise AssertionError(f"ended without {sign!r}: {self.said}")

    def kill(self) -> None:
        """Go away without a word, as a killed engine does."""
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def end(self) -> tuple[int, str]:
        """The exit status and the result, once the step has ended."""
        assert self.process.stderr
        assert self.process.stdout
        with self.process:
            self.said += self.process.stderr
            result = self.process.stdout.read()
        return self.process.returncode, result


@dataclass
class Host:
    """A host with the scripts."""

    server: Server
    runs: list[Run] = field(default_factory=list)

    def ask(self, name: str = "one", *, limit: int = 60, **arguments: str) -> Run:
        """Ask for the step with a document of this name."""
        step = Step("try", "node-0", "host", limit=limit)
        documents = archive({"name": name, "secret": SECRET})
        process = subprocess.Popen(
            self.server.words(command_line(KEY, step, arguments)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdin
        process.stdin.write(documents)
        process.stdin.close()
        process.stdin = None
        self.runs.append(Run(process))
        return self.runs[-1]

    def go(self) -> None:
        """Let the step end."""
        self.server.ssh("touch /var/tmp/go")

    def trace(self) -> list[str]:
        """What the step did."""
        return self.server.ssh("cat /var/tmp/trace").split()

    def left(self) -> list[str]:
        """What the host keeps of the step."""
        return self.server.ssh(f"sudo find /run/q8s -path '*/{KEY}.*/*' -printf '%f '").split()


@pytest.fixture(scope="module")
def scripts(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host with the scripts, and one more."""
    folder = tmp_path_factory.mktemp("scripts")
    for script in HOSTSCRIPTS.iterdir():
        (folder / script.name).write_text(script.read_text())
    (folder / "try.sh").write_text(SCRIPT)
    copied = subprocess.run(["tar", "-cC", folder, "."], capture_output=True, check=True).stdout
    unpack = f"mkdir -p {FOLDER} && tar -xC {FOLDER}"
    subprocess.run(server.words(unpack), input=copied, check=True, timeout=30)
    return Host(server)


@pytest.fixture
def host(scripts: Host) -> Iterator[Host]:
    """The host, on which nothing was asked for yet."""
    scripts.server.ssh("sudo rm -rf /var/tmp/go /var/tmp/trace")
    yield scripts
    for run in scripts.runs:
        if run.process.returncode is None:
            run.kill()
    scripts.go()
    eventually(lambda: scripts.server.ssh(f"systemctl is-active q8s-step-{KEY}", check=False) == "inactive", 20, "end")
    scripts.server.ssh("sudo rm -rf /run/q8s")


def test_a_step_tells_its_progress_and_its_result_and_leaves_nothing(host: Host) -> None:
    run = host.ask()
    run.until("node-0: began with one")
    assert SECRET not in host.server.ssh("ps -eww -o args")
    assert host.server.ssh("sudo stat -c %a /run/q8s") == "700"
    host.go()
    assert run.end() == (0, SECRET)
    assert host.trace() == ["began", "ended"]
    assert not host.left()


def test_a_step_outlives_who_asked_and_is_followed_by_the_next(host: Host) -> None:
    first = host.ask()
    first.until("began")
    first.kill()
    second = host.ask()
    second.until("runs already")
    second.until("began with one")
    host.go()
    assert second.end() == (0, SECRET)
    assert host.trace() == ["began", "ended"]
    eventually(lambda: not host.left(), 10, "the end of the reader that was killed")


def test_two_who_follow_a_step_both_have_its_result(host: Host) -> None:
    runs = [host.ask() for _ in range(3)]
    for run in runs:
        run.until("began")
    host.go()
    assert [run.end() for run in runs] == [(0, SECRET)] * 3
    assert host.trace() == ["began", "ended"]
    eventually(lambda: not host.left(), 10, "the end of the last reader")


def test_a_result_that_nobody_had_is_handed_over_once(host: Host) -> None:
    first = host.ask()
    first.until("began")
    first.kill()
    host.go()
    eventually(lambda: host.trace() == ["began", "ended"], 20, "the end of a step that nobody follows")
    eventually(lambda: "outcome" in host.left(), 10, "its outcome")
    assert "work" not in host.left(), "its documents are still there"
    second = host.ask()
    assert second.end() == (0, SECRET)
    assert host.trace() == ["began", "ended"]
    assert host.ask().end() == (0, SECRET)
    assert host.trace() == ["began", "ended"] * 2


@pytest.mark.parametrize("other", [{"name": "two"}, {"name": "one", "kind": "another"}])
def test_another_description_comes_after_the_one_that_runs(host: Host, other: dict[str, str]) -> None:
    first = host.ask()
    first.until("began with one")
    second = host.ask(**other)
    second.until("comes after")
    host.go()
    assert first.end() == (0, SECRET)
    assert second.end() == (0, SECRET)
    assert host.trace() == ["began", "ended", "began", "ended"]


def test_a_step_that_only_waits_is_ended_for_another(host: Host) -> None:
    first = host.ask(idle="yes")
    first.until("began with one")
    second = host.ask("two")
    second.until("began with two")
    code, _ = first.end()
    assert code == 1
    assert "ended from outside" in first.said[-1]
    host.go()
    assert second.end() == (0, SECRET)
    assert host.trace() == ["began", "began", "ended"]


def test_a_failure_is_told_and_the_step_runs_again(host: Host) -> None:
    host.go()
    run = host.ask(code="1")
    code, result = run.end()
    assert (code, result) == (1, "")
    assert "q8s: node node-0, layer host, step try: as asked" in "".join(run.said)
    assert host.ask(code="1").end()[0] == 1
    assert host.trace() == ["began", "began"]


def test_a_failure_that_nobody_saw_is_no_result(host: Host) -> None:
    first = host.ask(code="1")
    first.until("began")
    first.kill()
    host.go()
    eventually(lambda: "outcome" in host.left(), 20, "the end of a step that nobody follows")
    assert host.ask(code="1").end()[0] == 1
    assert host.trace() == ["began", "began"]


def test_a_step_is_ended_after_its_limit(host: Host) -> None:
    run = host.ask(limit=2)
    assert run.end()[0] == 124
    assert "node node-0, layer host, step try: ended after its limit of 2 s" in "".join(run.said)


def test_a_step_that_is_killed_says_so(host: Host) -> None:
    run = host.ask()
    run.until("began")
    host.server.ssh(f"sudo systemctl kill --signal=KILL q8s-step-{KEY}")
    assert run.end()[0] == 1
    assert "ended from outside before it was done" in run.said[-1]
