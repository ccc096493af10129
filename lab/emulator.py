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
    """What the emulator of a host has used, looked at twice a second for as long as the trace is open.

    Where one emulator follows another, the trace is of the last one.
    """

    def __init__(self, server: str) -> None:
        """Follow the emulator of a host, by the host's id in Nova."""
        self._server = server
        self._seen: dict[int, list[tuple[float, float]]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
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
                self._seen.setdefault(emulator.pid, []).append((time.time(), emulator.cpu_seconds()))

    def until(self, moment: datetime) -> float:
        """CPU seconds that the emulator had used by then.

        Raises:
            NoEmulator: none was seen before that.
        """
        last = list(self._seen.values())[-1] if self._seen else []
        used = [cpu for seen, cpu in last if seen <= moment.timestamp() + _LOOK_SECONDS]
        if not used:
            raise NoEmulator(f"host {self._server} ran no emulator before {moment:%H:%M:%S}")
        return used[-1]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
    except OSError:
        return ""
