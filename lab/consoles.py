"""Where the guests are while they boot: the last step on each one's console, told while a run waits for them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

from lab.hosts.host import Folders, all_hosts

_STEP: Final = re.compile(r"(\d+\.\d+) q8s: (.+)")
_UNPRINTABLE: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[^ -~]")
"""What is for a terminal (ECMA-48: control sequences, and a terminal's own commands), and what else is no text."""
_POLL_SECONDS: Final = 2.0
_QUIET_SECONDS: Final = 45.0
_TAIL_BYTES: Final = 8192


@dataclass
class _Seen:
    """What was told of one guest."""

    step: str = ""
    at: float = field(default_factory=time.monotonic)


class Consoles:
    """Tells of the guests' progress while its body runs.

    Args:
        instances: Nova's ``instances_path``; a worker's host keeps its guest's console below it.
        tell: is given a line for each step, and where a guest is after a while without one.
    """

    def __init__(self, instances: Path, tell: Callable[[str], None]) -> None:
        self._instances, self._tell = instances, tell
        self._seen: dict[str, _Seen] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Consoles:
        # What earlier runs left on the consoles is no news.
        self._seen = {name: _Seen(_step(text) or "at rest") for name, text in self._texts().items()}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(timeout=2 * _POLL_SECONDS)

    def _watch(self) -> None:
        while not self._end.wait(_POLL_SECONDS):
            self.look()

    def look(self) -> None:
        """Tell what is new."""
        for name, text in self._texts().items():
            seen, step = self._seen.setdefault(name, _Seen()), _step(text)
            if step and step != seen.step:
                self._tell(f"{name}: guest, {step}")
                self._seen[name] = _Seen(step)
            elif not seen.step and time.monotonic() - seen.at > _QUIET_SECONDS:
                self._tell(f"{name}: guest boots: {_last(text)}")
                self._seen[name] = _Seen()

    def _texts(self) -> dict[str, str]:
        """The end of each guest's console by its host's name."""
        found = {}
        for host in all_hosts(self._instances):
            try:
                with (Folders.of(host, self._instances).var / "log/q8s/console.log").open("rb") as console:
                    console.seek(max(0, console.seek(0, 2) - _TAIL_BYTES))
                    found[host.hostname] = console.read().decode(errors="replace")
            except OSError:
                continue
        return found


def _step(text: str) -> str:
    """The guest's last step and its uptime then; empty before the first."""
    steps = _STEP.findall(text)
    return f"{_UNPRINTABLE.sub('', steps[-1][1]).strip()} after {float(steps[-1][0]):.0f} s" if steps else ""


def _last(text: str) -> str:
    lines = [line for each in text.splitlines() if (line := _UNPRINTABLE.sub("", each).strip())]
    return lines[-1][:100] if lines else "nothing on its console yet"
