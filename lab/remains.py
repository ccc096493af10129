"""What is left of a lab whose supervisord, namespace or machine is gone; found without any of them.

Every process that the lab starts carries a mark in its environment (proc(5), ``environ``), but for what runs inside
hosts: those are found by their control groups. A process that writes its own title, as Neutron's workers do, writes it
over its environment: it is found by its parent.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from lab import layout

MARK: Final = "Q8S_LAB_OF"
"""The variable that marks a process of the lab; its value is the lab's run folder."""
_GRACE_SECONDS: Final = 10
_PLUGIN: Final = re.compile(rb"(.*/)?pulumi-resource-[a-z0-9-]+$")


def mark() -> None:
    """Mark this process, and with it all that it will start."""
    os.environ[MARK] = str(layout.RUN)


def processes() -> dict[int, str]:
    """The lab's processes by pid, with their commands; this one and those that are dead already left out."""
    sign = f"{MARK}={layout.RUN}".encode()
    marked: set[int] = set()
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            pid = int(path.parent.name)
            children.setdefault(_parent(pid), []).append(pid)
            if sign in path.read_bytes().split(b"\0"):
                marked.add(pid)
    # This one's children are its own helpers, and end with it.
    waiting, found = [pid for pid in marked if pid != os.getpid()], {}
    while waiting:
        pid = waiting.pop()
        if pid not in found and pid != os.getpid() and _lives(pid):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                found[pid] = b" ".join(words).decode(errors="replace")[:120]
            waiting += children.get(pid, [])
    return found


def within(namespace: int) -> dict[int, str]:
    """Processes in a network namespace, by pid with their names.

    Args:
        namespace: its inode number.
    """
    found = {}
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with suppress(OSError):
            if path.stat().st_ino == namespace:
                found[int(path.parts[2])] = Path("/proc", path.parts[2], "comm").read_text().strip()
    return found


def orphaned_plugins(pids: Iterable[int]) -> set[int]:
    """Those that are plugins of a Pulumi engine that is gone.

    A plugin looks for its engine every five minutes only (``rpcutil.Healthcheck`` of Pulumi's SDK), and no signal
    reaches it with a killed engine's, as it has a process group of its own.
    """
    found = set()
    for pid in pids:
        with suppress(OSError):
            parent = Path(f"/proc/{_parent(pid)}/comm").read_text().strip()
            if _PLUGIN.match(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]) and parent != "pulumi":
                found.add(pid)
    return found


def end(pids: Iterable[int], grace: float = _GRACE_SECONDS) -> set[int]:
    """End processes, first by asking.

    Args:
        pids: which.
        grace: seconds after which they are killed, and once more until they must be gone.

    Returns:
        Those that survive being killed, as only uninterruptible ones can.
    """
    left = set(pids)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + grace
        while (left := {pid for pid in left if _lives(pid)}) and time.monotonic() < deadline:
            time.sleep(0.05)
    return left


def mounts(*folders: Path) -> list[Path]:
    """Mount points at or below these folders in this mount namespace, the innermost first."""
    # Octal escapes stand for what can't be in a field (proc(5), mounts).
    points = [
        Path(line.split()[1].encode().decode("unicode_escape"))
        for line in Path("/proc/self/mounts").read_text().splitlines()
    ]
    return [point for point in reversed(points) if any(point.is_relative_to(folder) for folder in folders)]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
