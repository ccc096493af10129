"""What an emulated machine costs its host: QEMU's CPU time and memory, as proc(5) tells them.

CPU seconds do not depend on neighbours, as wall time does on a busy machine.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.hosts import cgroups

_TICKS: Final = os.sysconf("SC_CLK_TCK")
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


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
    except OSError:
        return ""
