"""What an emulated machine costs its host: QEMU's CPU time and memory, as proc(5) tells them.

CPU seconds do not depend on neighbours, as wall time does on a busy machine.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from lab.hosts import cgroups

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS: Final = 0.5
_JOIN_SECONDS: Final = 30
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class NoEmulator(Exception):
    """A host runs no QEMU, or more than one; the message says which host."""


@dataclass(frozen=True)
class Emulator:
    """The QEMU process of one host."""

    pid: int

    @classmethod
    def of(cls, server: str) -> Emulator:
        """The emulator on a host.

        Args:
            server: the host's id in Nova.

        Raises:
            NoEmulator: there is none, or more than one.
        """
        members = cgroups.members(f"q8s-{server}")
        found = [pid for pid in members if _command(pid).startswith("qemu-system-")]
        if len(found) != 1:
            raise NoEmulator(f"host {server} runs {len(found)} emulators, not one")
        return cls(found[0])

    def cpu_seconds(self) -> float:
        """CPU seconds that all its threads have used so far, in user and kernel mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_mib(self) -> float:
        """Memory that it occupies, in MiB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE / 2**20

    def load(self, seconds: float) -> float:
        """Host cores that it takes, on average over so many seconds from now."""
        before, started = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds() - before) / (time.monotonic() - started)


class Trace:
    """What emulators of a host have used, looked at twice a second for as long as the trace is open.

    One that is there already is left out; those that follow each other, as when a guest boots that does not go on from
    a state, are taken together.
    """

    def __init__(self, server: str) -> None:
        """Follow the emulator of a host, by the host's id in Nova."""
        self._server = server
        self._before = 0
        self._seen: dict[int, list[tuple[float, float]]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        with suppress(NoEmulator):
            self._before = Emulator.of(self._server).pid
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(_JOIN_SECONDS)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            # Between two emulators there is none, and one may end while it is looked at.
            with suppress(NoEmulator, OSError):
                emulator = Emulator.of(self._server)
                if emulator.pid != self._before:
                    self._seen.setdefault(emulator.pid, []).append((time.time(), emulator.cpu_seconds()))

    def until(self, moment: datetime) -> float:
        """CPU seconds that they had used by then.

        Raises:
            NoEmulator: none was seen before that.
        """
        until = moment.timestamp() + _LOOK_SECONDS
        used = [max((cpu for at, cpu in each if at <= until), default=0.0) for each in self._seen.values()]
        if not any(used):
            raise NoEmulator(f"host {self._server} ran no emulator before {moment:%H:%M:%S}")
        return sum(used)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
    except OSError:
        return ""
