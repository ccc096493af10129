"""What the supervisor runs, and how to tell that it answers."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import layout
from lab.command import LabError, run

__all__ = ["LabError", "Program", "accepts", "holder", "session_members", "wait_until"]


@dataclass(frozen=True)
class Program:
    """A service of the lab.

    Attributes:
        name: also the name of its log.
        command: words, the first an absolute path or found on PATH; stays in the foreground.
        environment: variables beside those of the supervisor.
        port: (address, port) that accepts connections when the service is ready, if it listens.
        stop_signal: what ends it cleanly.
        group: end its children with it; False for what starts processes that outlive it.
        user: whom it runs as; root if not given.
    """

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: tuple[str, int] | None = None
    stop_signal: str = "TERM"
    group: bool = True
    user: str | None = None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return layout.LOGS / f"{self.name}.log"


def accepts(address: str, port: int) -> bool:
    """True where something accepts connections."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def holder(address: str, port: int) -> str | None:
    """Who listens on a port, as ``name (pid)``; None where it is free."""
    if not accepts(address, port):
        return None
    words = ["ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes", f"sport = :{port}"]
    done = run(*words, limit=30, check=False)
    found = re.search(r'\(\("([^"]+)",pid=(\d+)', done.stdout)
    return f"{found[1]} ({found[2]})" if found else "another process"


def session_members(session: int) -> dict[int, int]:
    """The processes of a session in this network namespace, as proc(5) tells them.

    Returns:
        Process ids with their process groups.
    """
    members = {}
    here = _target(Path("/proc/self/ns/net"))
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The name, in parentheses, may hold anything.
        state, _parent, group, of, *_ = text.rpartition(")")[2].split()
        if int(of) == session and state != "Z" and _target(path.with_name("ns") / "net") == here:
            members[int(path.parent.name)] = int(group)
    return members


def _target(link: Path) -> Path | None:
    try:
        return link.readlink()
    except (FileNotFoundError, ProcessLookupError):
        return None


def wait_until(what: str, ready: Callable[[], bool], *, seconds: float, log: Path | None = None) -> None:
    """Ask until the answer is yes.

    Raises:
        LabError: it was not within the time; names the log to read.
    """
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            where = f"; see {log}" if log else ""
            raise LabError(f"{what}: not ready after {seconds:g} s{where}")
        time.sleep(0.2)
