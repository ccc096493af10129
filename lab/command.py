"""The one way in which the lab runs a command: never longer than its limit.

Only the standard library is imported, because hosts are started from OpenStack's own environment, too. As a program,
``command.py SECONDS WORDS...``, it does for others what :func:`run` does, but interrupts first and is patient then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

_GRACE_SECONDS: Final = 5.0
_INTERRUPT_GRACE_SECONDS: Final = 60.0
_FIRST_POLL_SECONDS: Final = 0.001
_POLL_SECONDS: Final = 0.05
_LAST_LINES: Final = 15
_TIMED_OUT: Final = 124
"""Exit code of the program at the limit, as timeout(1) has it."""


class LabError(Exception):
    """The lab can't do what was asked; the message says what to do."""


class CommandError(LabError):
    """A command failed, or was not done in time; the message holds its words and the last lines that it printed."""


class _Process(NamedTuple):
    """A process by its number and its start in clock ticks, which together no other process has."""

    pid: int
    started: int


def run(
    *words: str | Path,
    limit: float,
    check: bool = True,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: IO[Any] | None = None,
    attached: bool = False,
    stop: signal.Signals = signal.SIGTERM,
    grace: float = _GRACE_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a command, and wait for its end but not for that of daemons which it leaves behind.

    It stays in the caller's process group, so that what interrupts or ends the lab ends its commands, too.

    Args:
        words: the command; the first is an absolute path or found on PATH.
        limit: seconds that it may take. Then it is told to stop, and what is left of it and of its descendants is
            killed.
        check: a non-zero exit is an error.
        stdin: what it reads; nothing if not given. It is in no file and in no message.
        env: its whole environment, instead of the caller's.
        cwd: its working directory.
        log: an open file that gets all it prints, instead of the result.
        attached: what it reads and prints is the caller's, instead of the result.
        stop: the signal that tells it to stop.
        grace: seconds from that signal to the kill.

    Returns:
        The exit code and the text that it printed.

    Raises:
        CommandError: it can't be started, was not done in time, or exited non-zero where that is checked.
    """
    command = [str(word) for word in words]
    name = f"`{' '.join(command)}`"
    with ExitStack() as files:
        # Files and not pipes: a daemon that inherits them keeps nobody waiting.
        said, complained = (files.enter_context(_in_memory()) for _ in range(2))
        source: IO[Any] | int = subprocess.DEVNULL
        if stdin is not None:
            source = files.enter_context(_in_memory(stdin))
        try:
            process = subprocess.Popen(
                command,
                stdin=None if attached and stdin is None else source,
                stdout=None if attached else log or said,
                stderr=None if attached else log or complained,
                env=env,
                cwd=cwd,
            )
        except OSError as error:
            raise CommandError(f"{name} can't be started: {error}") from None
        try:
            _wait(process, limit)
        finally:
            code = process.poll()
            if code is None:
                _end(process, stop, grace)
        printed, complaint = _text(said), _text(complained)
    if code is None:
        last = _last_lines(printed + complaint)
        raise CommandError(f"{name} was not done after {limit:g} s, and was ended{last}")
    if check and code:
        raise CommandError(f"{name} exited {code}{_last_lines(complaint.strip() or printed)}")
    return subprocess.CompletedProcess(command, code, printed, complaint)


def end_all(grace: float = _GRACE_SECONDS) -> None:
    """End every command that runs for this process, called from another of its threads; each then fails.

    Args:
        grace: seconds from asking to the kill.
    """
    own = {each for each in _parents() if each.pid == os.getpid()}
    family = _family(own) - own
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for each in family:
            with suppress(ProcessLookupError):
                os.kill(each.pid, sign)
        deadline = time.monotonic() + grace
        while (family := _family(family)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _in_memory(text: str = "") -> IO[bytes]:
    file = open(os.memfd_create("q8s-lab"), "w+b")  # noqa: PTH123, SIM115 - no path leads to it, and run() closes it
    file.write(text.encode())
    file.seek(0)
    return file


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _last_lines(text: str) -> str:
    lines = text.strip().splitlines()[-_LAST_LINES:]
    return "\n".join([":", *lines]) if lines else ""


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for the end of a process for some time. Popen's own way raises what nobody can catch under eventlet."""
    deadline, pause = time.monotonic() + seconds, _FIRST_POLL_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, _POLL_SECONDS)


def _end(process: subprocess.Popen[bytes], stop: signal.Signals, grace: float) -> None:
    """Tell a process to stop; after the grace, in seconds, kill what is left of it and of its descendants."""
    family = _family({each for each in _parents() if each.pid == process.pid})
    process.send_signal(stop)
    deadline = time.monotonic() + grace
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        family |= _family(family)
    # More than once, because one may have forked meanwhile; not for ever, because the kernel may hold one back.
    deadline = time.monotonic() + _GRACE_SECONDS
    while (family := _family(family)) and time.monotonic() < deadline:
        for each in family:
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    process.poll()


def _family(processes: set[_Process]) -> set[_Process]:
    """Those of the processes that live, and all that descend from them."""
    parents = _parents()
    found = processes & parents.keys()
    pids = {each.pid for each in found}
    while new := {each for each, parent in parents.items() if parent in pids} - found:
        found |= new
        pids |= {each.pid for each in new}
    return found


def _parents() -> dict[_Process, int]:
    """Every living process with the number of its parent, as proc(5) tells them."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            # The name, in parentheses, may hold anything; what follows begins with the third field.
            state, parent, *others = path.read_text(errors="replace").rpartition(")")[2].split()
            if state != "Z":
                parents[_Process(int(path.parent.name), int(others[17]))] = int(parent)
    return parents


def _main(seconds: str, *words: str) -> int:
    # A terminal interrupts the command as well, and its end is waited for.
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        done = run(
            *words,
            limit=float(seconds),
            check=False,
            attached=True,
            stop=signal.SIGINT,
            grace=_INTERRUPT_GRACE_SECONDS,
        )
    except CommandError as error:
        print(error, file=sys.stderr)
        return _TIMED_OUT
    # As shells tell that a signal ended it.
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
