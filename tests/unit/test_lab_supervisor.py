"""What the supervisor is told, and a real supervisord with small services: killed, orphaned, in each other's way."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab import layout, supervisor
from lab.services import LabError, Program, accepts, holder, wait_until
from lab.supervisor import Supervisor, render

LOOPBACK = "127.0.0.1"
# A server whose listening child outlives it when it is killed, as nginx's workers do.
FORKING = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if os.fork() == 0:
    while True:
        server.accept()[0].close()
server.close()
time.sleep(3600)
"""
pytestmark = pytest.mark.timeout(120)


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])


def section(program: Program) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(render([program]))
    return parser[f"program:{program.name}"]


class TestRender:
    def test_services_end_with_supervisord_and_start_in_the_labs_order(self) -> None:
        told = section(Program("x", ["/bin/x", "a b", Path("/c")]))
        assert told["command"] == "/usr/bin/setpriv --pdeathsig TERM /bin/x 'a b' /c"
        assert (told["autostart"], told["autorestart"], told["stopasgroup"]) == ("false", "true", "true")
        assert told["stdout_logfile"] == str(layout.LOGS / "x.log")

    def test_what_outlives_its_service_is_not_stopped_with_it(self) -> None:
        told = section(Program("x", ["/bin/x"], group=False))
        assert (told["stopasgroup"], told["killasgroup"]) == ("false", "false")

    def test_the_user_is_changed_before_the_signal_is_asked_for(self) -> None:
        words = section(Program("x", ["/bin/x"], user="mysql"))["command"].split()
        assert words.index("--reuid") < words.index("--pdeathsig")

    def test_percent_signs_are_not_expanded(self) -> None:
        told = section(Program("x", ["/bin/x", "%h"], {"FORMAT": "%s", "A": "1"}))
        assert told["command"].endswith(" %%h")
        assert told["environment"] == 'A="1",FORMAT="%%s"'


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisord in folders of its own, ended with the test."""
    monkeypatch.setattr(layout, "RUN", tmp_path)
    monkeypatch.setattr(layout, "LOGS", tmp_path / "logs")
    # A socket's path has at most 107 bytes.
    short = Path(tempfile.mkdtemp(prefix="q8s-unit-", dir="/run"))
    monkeypatch.setattr(supervisor, "_SOCKET", short / "supervisor.sock")
    monkeypatch.setattr(supervisor, "_CONFIG", tmp_path / "supervisord.conf")
    monkeypatch.setattr(supervisor, "_PORT_SECONDS", 1)
    made = Supervisor()
    yield made
    made.shutdown()
    shutil.rmtree(short)


Server = Callable[[str], Program]


@pytest.fixture
def forking(tmp_path: Path) -> Server:
    script = tmp_path / "forking.py"
    script.write_text(FORKING)

    def make(name: str) -> Program:
        port = free_port()
        return Program(name, [sys.executable, script, str(port)], port=(LOOPBACK, port))

    return make


def pid_of(running: Supervisor, name: str) -> int:
    return int(running._ask("getProcessInfo", name)["pid"])


def listening_group(program: Program) -> int:
    """The process group of what has a program's port; its number is that of the process that supervisord started."""
    assert program.port
    told = re.search(r"\((\d+)\)", str(holder(*program.port)))
    assert told
    return os.getpgid(int(told[1]))


def test_what_runs_stays_and_what_is_killed_comes_back(running: Supervisor) -> None:
    program = Program("sleeper", ["/bin/sleep", "3600"])
    running.ensure([program])
    running.start([program])
    first = pid_of(running, "sleeper")
    running.ensure([program])
    running.start([program])
    assert pid_of(running, "sleeper") == first
    os.kill(first, signal.SIGKILL)
    wait_until("another", lambda: pid_of(running, "sleeper") not in (0, first), seconds=10)


def test_an_orphan_of_a_killed_service_does_not_keep_its_port(running: Supervisor, forking: Server) -> None:
    program = forking("server")
    assert program.port
    running.ensure([program])
    running.start([program])
    first = pid_of(running, "server")
    os.kill(first, signal.SIGKILL)
    assert listening_group(program) == first
    # Whether it is found starting, running for a moment, or given up: the orphan goes and the service is there.
    running.start([program])
    assert listening_group(program) == pid_of(running, "server") != first
    assert running.states() == {"server": "RUNNING"}


def test_services_go_with_a_killed_supervisord_and_come_back(running: Supervisor) -> None:
    program = Program("sleeper", ["/bin/sleep", "3600"])
    running.ensure([program])
    running.start([program])
    service = pid_of(running, "sleeper")
    os.kill(running._ask("getPID"), signal.SIGKILL)
    wait_until("the service's end", lambda: not Path(f"/proc/{service}").exists(), seconds=10)
    running.ensure([program])
    running.start([program])
    assert running.states() == {"sleeper": "RUNNING"}


def test_only_a_changed_service_is_started_anew(running: Supervisor) -> None:
    stays, changes = Program("stays", ["/bin/sleep", "3600"]), Program("changes", ["/bin/sleep", "3600"])
    running.ensure([stays, changes])
    running.start([stays, changes])
    before = pid_of(running, "stays"), pid_of(running, "changes")
    other = replace(changes, command=["/bin/sleep", "3601"])
    running.ensure([stays, other])
    running.start([stays, other])
    after = pid_of(running, "stays"), pid_of(running, "changes")
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_a_port_in_use_is_refused_with_its_holder(running: Supervisor, forking: Server) -> None:
    program = forking("server")
    assert program.port
    running.ensure([program])
    with socket.create_server(program.port), pytest.raises(LabError, match=rf"in use by \S+ \({os.getpid()}\): end it"):
        running.start([program])


def test_a_service_that_does_not_start_names_its_log(running: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each further attempt comes a second later than the one before.
    monkeypatch.setattr(supervisor, "render", lambda given: re.sub(r"(?<=startretries = )\d+", "0", render(given)))
    program = Program("broken", ["/bin/sh", "-c", "echo why it failed; exit 1"])
    running.ensure([program])
    with pytest.raises(LabError, match=r"(?s)broken.*logs/broken\.log"):
        running.start([program])
    assert "why it failed" in program.log.read_text()


def test_one_that_ends_before_supervisord_answers_names_its_log(
    running: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "render", lambda given: re.sub(r"(?<=startretries = )\d+", "0", render(given)))
    program = Program("broken", ["/bin/sh", "-c", "echo why it failed; exit 1"])
    running.ensure([program])
    asked = running._ask

    def patiently(method: str, *arguments: str | bool, **limit: float) -> object:
        # Told to wait, supervisord always notices the end; else that is a matter of milliseconds.
        return asked(method, program.name, True) if method == "startProcess" else asked(method, *arguments, **limit)

    monkeypatch.setattr(running, "_ask", patiently)
    with pytest.raises(LabError, match=r"broken does not start: .*Exited too quickly.*logs/broken\.log\nwhy it failed"):
        running.start([program])


@pytest.mark.parametrize(
    ("method", "service", "told"),
    [
        ("startProcess", "broken", r"startProcess of broken: .*SPAWN_ERROR.*logs/broken\.log and .*supervisord\.log"),
        ("stopProcess", "broken", r"stopProcess of broken: .*NOT_RUNNING.*logs/broken\.log"),
        ("startProcess", "nonesuch", r"startProcess of nonesuch: .*BAD_NAME.*supervisord\.log"),
        ("nonesuch", None, r"^nonesuch: .*UNKNOWN_METHOD; see \S+/supervisord\.log$"),
    ],
)
def test_a_fault_names_the_service_and_its_log(
    running: Supervisor, method: str, service: str | None, told: str
) -> None:
    running.ensure([Program("broken", ["/bin/false"])])
    with pytest.raises(LabError, match=told):
        running._ask(method, *([service] if service else []))


def test_nothing_is_left_after_the_end(running: Supervisor, forking: Server) -> None:
    program = forking("server")
    assert program.port
    running.ensure([program])
    running.start([program])
    running.shutdown()
    assert not accepts(*program.port)
    assert not running.answers()


def test_a_hung_supervisord_is_told_and_replaced(running: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_STATE_SECONDS", 1)
    program = Program("sleeper", ["/bin/sleep", "3600"])
    running.ensure([program])
    running.start([program])
    hung, service = running._ask("getPID"), pid_of(running, "sleeper")
    os.kill(hung, signal.SIGSTOP)
    with pytest.raises(LabError, match=r"did not answer getPID within 0\.5 s: see .*supervisord\.log"):
        running._ask("getPID", limit=0.5)
    running.ensure([program])
    running.start([program])
    assert running._ask("getPID") != hung
    wait_until("the former service's end", lambda: not Path(f"/proc/{service}").exists(), seconds=10)
    os.kill(running._ask("getPID"), signal.SIGSTOP)
    running.shutdown()
    assert not running.answers()
