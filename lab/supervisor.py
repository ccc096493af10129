"""The lab's processes under supervisord: started, watched, restarted and stopped by it."""

from __future__ import annotations

import http.client
import os
import shlex
import signal
import socket
import sys
import xmlrpc.client
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from lab import files, layout
from lab.command import run
from lab.services import LabError, Program, accepts, holder, session_members, wait_until

_SOCKET: Final = layout.RUN / "supervisor.sock"
_CONFIG: Final = layout.RUN / "supervisord.conf"
_START_SECONDS: Final = 120
_PORT_SECONDS: Final = 20
# To stop all services takes supervisord 20 seconds, should none of them obey.
_ANSWER_SECONDS: Final = 120
_STATE_SECONDS: Final = 10
_RUNNING: Final = "RUNNING"
# Of the faults of supervisord (supervisor.xmlrpc.Faults): they tell that it was faster than its client.
_SPAWN_ERROR, _ALREADY_STARTED, _NOT_RUNNING = 50, 60, 70


def render(programs: Iterable[Program]) -> str:
    """The configuration of supervisord. Nothing starts by itself: the lab starts services in their order."""
    head = f"""[supervisord]
logfile = {layout.LOGS}/supervisord.log
pidfile = {layout.RUN}/supervisord.pid
childlogdir = {layout.LOGS}

[unix_http_server]
file = {_SOCKET}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
    return "\n".join([head, *(_section(program) for program in programs)])


def _section(program: Program) -> str:
    # From no checkout's directory: the one that brought the lab up may be gone when a service starts again.
    # Should supervisord itself be killed, its services go too, and the next start finds none of them in its way.
    # The user is changed here and not by the service, because that would make the kernel forget the signal.
    user = ["--reuid", program.user, "--regid", program.user, "--init-groups"] if program.user else []
    words = ["/usr/bin/setpriv", *user, "--pdeathsig", "TERM", *map(str, program.command)]
    variables = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(program.environment.items()))
    group = str(program.group).lower()
    return f"""[program:{program.name}]
command = {_escaped(shlex.join(words))}
environment = {variables}
directory = /
autostart = false
autorestart = true
startsecs = 1
startretries = 5
stopsignal = {program.stop_signal}
stopwaitsecs = 20
stopasgroup = {group}
killasgroup = {group}
redirect_stderr = true
stdout_logfile = {program.log}
stdout_logfile_maxbytes = 50MB
stdout_logfile_backups = 1
"""


def _finish_former() -> None:
    """End what is left of a supervisord that does not answer.

    Where it was killed, its services were told to end, and most do. A hung one is killed with them.
    """
    try:
        former = int((layout.RUN / "supervisord.pid").read_text())
    except (FileNotFoundError, ValueError):
        return
    with suppress(LabError):
        wait_until("the end of former services", lambda: not session_members(former), seconds=_PORT_SECONDS)
    _kill(session_members(former))


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _await_port(program: Program) -> None:
    """Wait until the port of a program is free: what held it may be about to end.

    Raises:
        LabError: it stays in use; says by what.
    """
    if program.port is None:
        return
    address, port = program.port
    try:
        wait_until("the port", lambda: not accepts(address, port), seconds=_PORT_SECONDS)
    except LabError:
        who = holder(address, port)
        raise LabError(f"port {port} of {program.name} is in use by {who}: end it, then run the same again") from None


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


class _Connection(http.client.HTTPConnection):
    """HTTP by the socket of supervisord, with a limit for every answer."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(_SOCKET))


class _Transport(xmlrpc.client.Transport):
    """XML-RPC by that socket; the limit is in seconds."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self._limit = limit

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        connection = _Connection("localhost", timeout=self._limit)
        # So that it is closed with the transport.
        self._connection = host, connection
        return connection


class Fault(LabError):
    """supervisord refused a request; the message names the service, the fault and the log."""

    def __init__(self, method: str, service: str | None, fault: xmlrpc.client.Fault) -> None:
        logs = [layout.LOGS / f"{name}.log" for name in (service, "supervisord") if name]
        where = " and ".join(map(str, logs))
        what = f"{method} of {service}" if service else method
        super().__init__(f"{what}: supervisord says {fault.faultString}; see {where}")
        self.code = fault.faultCode


class Supervisor:
    """The running supervisord, by its XML-RPC interface."""

    def _ask(self, method: str, *arguments: str | bool, limit: float = _ANSWER_SECONDS) -> Any:
        """The answer to one request, by a connection of its own.

        Raises:
            Fault: supervisord refuses.
            LabError: there was none within ``limit`` seconds.
        """
        with xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(limit)) as server:
            try:
                return getattr(server.supervisor, method)(*arguments)
            except TimeoutError:
                log = layout.LOGS / "supervisord.log"
                raise LabError(f"supervisord did not answer {method} within {limit:g} s: see {log}") from None
            except xmlrpc.client.Fault as fault:
                service = arguments[0] if arguments and isinstance(arguments[0], str) else None
                raise Fault(method, service, fault) from None

    def _tell(self, method: str, *arguments: str | bool, unless: Container[int]) -> None:
        """Ask for something that may be so already, or that supervisord sees to by itself.

        Args:
            method: the request.
            arguments: its arguments.
            unless: the codes of the faults that say so.

        Raises:
            LabError: as for any request.
        """
        try:
            self._ask(method, *arguments)
        except Fault as fault:
            if fault.code not in unless:
                raise

    def ensure(self, programs: Sequence[Program]) -> None:
        """Start supervisord with these programs, or give a running one their configuration."""
        layout.LOGS.mkdir(parents=True, exist_ok=True)
        text = render(programs)
        changed = not _CONFIG.exists() or _CONFIG.read_text() != text
        files.write(_CONFIG, text)
        if not self.answers():
            _finish_former()
            supervisord = Path(sys.executable).with_name("supervisord")
            run(supervisord, "-c", _CONFIG, limit=_START_SECONDS)
            wait_until("supervisord", self.answers, seconds=10, log=layout.LOGS / "supervisord.log")
        elif changed:
            self._reload()

    def _reload(self) -> None:
        added, altered, gone = self._ask("reloadConfig")[0]
        for name in (*gone, *altered):
            self._ask("stopProcessGroup", name)
            self._ask("removeProcessGroup", name)
        for name in (*added, *altered):
            self._ask("addProcessGroup", name)

    def answers(self) -> bool:
        """True where supervisord is there and not hung."""
        try:
            self._ask("getState", limit=_STATE_SECONDS)
        except (OSError, xmlrpc.client.Error, http.client.HTTPException, LabError):
            return False
        return True

    def states(self) -> dict[str, str]:
        """Each program's state in supervisord's words."""
        return {each["name"]: each["statename"] for each in self._ask("getAllProcessInfo")}

    def start(self, programs: Iterable[Program]) -> None:
        """Start programs side by side and wait until they answer.

        Raises:
            LabError: one does not come up, and names its log; or something else has its port.
        """
        wanted = tuple(programs)
        # Always: a service that fails to take its port from a leftover looks running between two attempts.
        self._sweep()
        states = self.states()
        down = [program for program in wanted if states[program.name] not in (_RUNNING, "STARTING")]
        for program in down:
            if states[program.name] == "BACKOFF":
                self._tell("stopProcess", program.name, unless={_NOT_RUNNING})
            _await_port(program)
            # One that ends at once may have done so before supervisord answers, or not: it is tried again either way.
            self._tell("startProcess", program.name, False, unless={_SPAWN_ERROR, _ALREADY_STARTED})
        for program in wanted:
            wait_until(program.name, partial(self._ready, program), seconds=_START_SECONDS, log=program.log)

    def _sweep(self) -> None:
        """End what killed services left behind (nginx's workers, say, outlive their master and keep its port).

        Every service is a process group in the session of supervisord; hosts have sessions of their own.
        """
        own = self._ask("getPID")
        # In this order: what supervisord starts in between is not among the members.
        members = session_members(own)
        known = {own, *(each["pid"] for each in self._ask("getAllProcessInfo"))}
        # supervisord may not have noticed yet that a service died.
        alive = known & members.keys()
        _kill(pid for pid, group in members.items() if group not in alive)

    def _ready(self, program: Program) -> bool:
        state = self.states()[program.name]
        if state == "FATAL":
            why = self._ask("getProcessInfo", program.name)["spawnerr"] or "it was given up"
            said = program.log.read_text(errors="replace") if program.log.exists() else ""
            tail = "\n".join(said.splitlines()[-5:])
            raise LabError(f"{program.name} does not start: supervisord says {why}; see {program.log}\n{tail}")
        return state == _RUNNING and (program.port is None or accepts(*program.port))

    def stop(self, name: str) -> None:
        """Stop one program, if it runs."""
        if self.states().get(name) in (_RUNNING, "STARTING", "BACKOFF"):
            self._tell("stopProcess", name, unless={_NOT_RUNNING})

    def shutdown(self) -> None:
        """Stop all programs and supervisord itself."""
        if not self.answers():
            _finish_former()
            return
        self._ask("stopAllProcesses")
        self._ask("shutdown")
        wait_until("supervisord's end", lambda: not self.answers(), seconds=30)
