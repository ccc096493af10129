"""Whose result a step's is, by the real runner: a resource's step is the same again, a request is always a new one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from q8s_infra import hosts as module
from q8s_infra.hosts import HostError, Hosts
from q8s_infra.remote import Step, archive, command_line
from tests.unit.hostscript import LIMIT
from tests.unit.snapshots import finished
from tests.unit.stephost import NODE, StepHost

pytestmark = pytest.mark.timeout(120)
STEP = Step("try", NODE, "Kubernetes")
COUNTS = """
. ./lib.sh
echo run >>{trace}
progress began
until [[ -e {go} ]]; do sleep 0.05; done
echo "result $(wc -l <{trace})" >&3
"""
"""A step that says how often it has run, once it is let go."""


@pytest.fixture
def host(tmp_path: Path) -> StepHost:
    made = StepHost.made(tmp_path / "host")
    made.script("try.sh", COUNTS.format(trace=made.root / "trace", go=made.root / "go"))
    return made


def began(host: StepHost, command: str, documents: bytes) -> subprocess.Popen[bytes]:
    """The runner, asked for a step."""
    runner = subprocess.Popen(
        ["bash", "-c", command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=host.root / "home", env=host.environment, start_new_session=True,
    )  # fmt: skip
    assert runner.stdin
    runner.stdin.write(documents)
    runner.stdin.close()
    runner.stdin = None
    return runner


def until(true: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + LIMIT / 2
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def cut_off(host: StepHost, command: str, documents: bytes, *, let_end: bool = True) -> None:
    """A step that is asked for, and whose connection is lost while it runs."""
    before = runs(host)
    runner = began(host, command, documents)
    until(lambda: runs(host) > before)
    # The runner and all that reads for it, but not the unit.
    os.killpg(runner.pid, 9)
    runner.communicate()
    if let_end:
        (host.root / "go").touch()
        until(lambda: bool(outcomes(host)))


def runs(host: StepHost) -> int:
    trace = host.root / "trace"
    return len(trace.read_text().splitlines()) if trace.exists() else 0


def outcomes(host: StepHost) -> list[Path]:
    return [*host.at("/run/q8s").glob("*.*/outcome"), *host.at("/var/lib/q8s/steps").glob("*.*/outcome")]


def requested(monkeypatch: pytest.MonkeyPatch, host: StepHost, step: Step, said: list[str] | None = None) -> bytes:
    """The result of a step on request."""
    monkeypatch.setattr(module, "connected", host.connected)
    way: Any = SimpleNamespace(address=lambda _: "127.0.0.1")
    return finished(Hosts(way, (said if said is not None else []).append).run(step))


def request_command(step: Step) -> str:
    """What an earlier request has run."""
    return command_line(f"{NODE}-{step.script}", step, {"request": "another"})


@pytest.fixture
def resource() -> str:
    return command_line("demo-resource", STEP, {})


def test_a_resource_takes_the_result_that_nobody_had(host: StepHost, resource: str) -> None:
    documents = archive({}).encode()
    cut_off(host, resource, documents)
    result, said = began(host, resource, documents).communicate(timeout=LIMIT)
    assert (result, runs(host)) == (b"result 1\n", 1), said
    assert began(host, resource, documents).communicate(timeout=LIMIT)[0] == b"result 2\n"


@pytest.mark.parametrize("hours", [3, -1], ids=["old", "of a clock that was set back"])
def test_a_resource_takes_no_result_of_another_time(host: StepHost, resource: str, hours: int) -> None:
    documents = archive({}).encode()
    cut_off(host, resource, documents)
    then = time.time() - 3600 * hours
    os.utime(outcomes(host)[0], (then, then))
    assert began(host, resource, documents).communicate(timeout=LIMIT)[0] == b"result 2\n"


def test_a_request_takes_no_result_of_an_earlier_one(host: StepHost, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off(host, request_command(STEP), archive({}).encode())
    assert requested(monkeypatch, host, STEP) == b"result 2\n"
    assert not outcomes(host)


def test_a_request_waits_for_an_earlier_one_and_runs_then(host: StepHost, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off(host, request_command(STEP), archive({}).encode(), let_end=False)
    said: list[str] = []
    # It is let go by who is told to wait.
    watched = SimpleNamespace(append=lambda line: (said.append(line), (host.root / "go").touch()))
    assert requested(monkeypatch, host, STEP, watched) == b"result 2\n"
    assert any("try comes after it" in line for line in said)


def test_the_same_request_is_followed(host: StepHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "connected", host.connected)
    way: Any = SimpleNamespace(address=lambda _: "127.0.0.1")
    hosts = Hosts(way, lambda _: None)
    command = command_line(f"{NODE}-try", STEP, {"request": hosts.request})
    cut_off(host, command, archive({}).encode())
    assert finished(hosts.run(STEP)) == b"result 1\n"


def test_a_cut_off_snapshot_is_not_the_next_one(host: StepHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.control_plane(1000)
    snapshot = Step("snapshot", NODE, "Kubernetes")
    documents = archive({}).encode()
    runner = began(host, request_command(snapshot), documents)
    # Its reader is gone from the start, and its result stays.
    assert runner.stdout
    runner.stdout.close()
    runner.stdout = None
    runner.communicate(timeout=LIMIT)
    [former] = [outcome.parent / "stdout" for outcome in outcomes(host)]
    old = former.read_bytes()
    assert former.is_relative_to(host.at("/var/lib/q8s/steps"))
    assert former.stat().st_mode & 0o077 == 0
    new = requested(monkeypatch, host, snapshot)
    assert new
    assert new != old
    assert not former.exists()


def test_a_failed_request_says_why(host: StepHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HostError, match="is no control plane"):
        requested(monkeypatch, host, Step("snapshot", NODE, "Kubernetes"))


def test_large_documents_are_on_the_disk_and_gone_with_their_step(host: StepHost) -> None:
    host.script("try.sh", '. ./lib.sh\nstat -c %s "$inbox/data" >&3\nrealpath "$inbox" >&3\n')
    # Well packed, too.
    for content in (os.urandom(4 << 20).hex(), "x" * (9 << 20)):
        command = command_line("demo-large", STEP, {})
        result, said = began(host, command, archive({"data": content}).encode()).communicate(timeout=LIMIT)
        size, where = result.decode().split()
        assert int(size) == len(content), said
        assert Path(where).is_relative_to(host.at("/var/lib/q8s/steps"))
        assert list(host.at("/var/lib/q8s/steps").iterdir()) == []


def test_small_documents_are_in_memory(host: StepHost) -> None:
    host.script("try.sh", '. ./lib.sh\nrealpath "$inbox" >&3\n')
    result, _ = began(host, command_line("demo-small", STEP, {}), archive({"a": "b"}).encode()).communicate()
    assert Path(result.decode().strip()).is_relative_to(host.at("/run/q8s"))


def test_what_a_crash_has_left_on_the_disk_is_gone_with_the_next_step(host: StepHost) -> None:
    left = host.at("/var/lib/q8s/steps") / "demo-crashed.abcdef" / "work"
    left.mkdir(parents=True)
    (left / "snapshot").write_text("secret")
    (host.root / "go").touch()
    began(host, command_line("demo-other", STEP, {}), archive({}).encode()).communicate(timeout=LIMIT)
    assert not left.parent.exists()


def test_documents_that_were_cut_off_start_nothing(host: StepHost) -> None:
    documents = archive({"data": os.urandom(3000).hex()}).encode()
    runner = began(host, command_line("demo-cut", STEP, {}), documents[: 77 * 20])
    runner.communicate(timeout=LIMIT)
    assert (runner.returncode != 0, runs(host)) == (True, 0)
