"""The control groups of a host. They are also how it is known whether it runs: no process can leave them."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PARENT: Final = "q8s-lab"
_MIB: Final = 1 << 20
# Those that are treated here; what else a hierarchy carries makes no difference.
_CONTROLLERS: Final = frozenset({"cpu", "cpuset", "memory"})
# Microseconds in which the host's CPU time is counted; the kernel's own default.
_PERIOD: Final = 100_000


@dataclass(frozen=True)
class Hierarchy:
    """One mounted control group hierarchy.

    Attributes:
        path: where it is mounted.
        controllers: which of the v1 controllers cpu, cpuset and memory it carries; none for v2.
        is_v2: the unified hierarchy.
    """

    path: Path
    controllers: frozenset[str] = frozenset()
    is_v2: bool = False


def parse_mounts(mounts: str) -> list[Hierarchy]:
    """The hierarchies in the text of ``/proc/self/mounts``, each once."""
    found: dict[Path, Hierarchy] = {}
    for line in mounts.splitlines():
        _, path, kind, options, *_ = line.split()
        if kind in {"cgroup", "cgroup2"}:
            controllers = _CONTROLLERS & set(options.split(",")) if kind == "cgroup" else frozenset[str]()
            found[Path(path)] = Hierarchy(Path(path), controllers, is_v2=kind == "cgroup2")
    return list(found.values())


def hierarchies() -> list[Hierarchy]:
    """The hierarchies mounted here."""
    return parse_mounts(Path("/proc/self/mounts").read_text())


def is_unified(found: Sequence[Hierarchy]) -> bool:
    """True where memory is not a v1 controller, so that hosts must use cgroup v2."""
    return not any("memory" in each.controllers for each in found)


def create(name: str, memory_mib: int, cpus: int, found: Sequence[Hierarchy] | None = None) -> list[Path]:
    """Make the groups of a host, one in each hierarchy, with its limits of memory and CPUs.

    A host gets as many of the machine's CPUs as its flavor has, those that the fewest other hosts have got: so it sees
    its number of them, too (``nproc``). A quota of CPU time would show all of the machine's, and in cgroup v1 would
    refuse the larger limit that a pod or guest inside may have; it stands in where the kernel offers no cpuset.

    Args:
        name: name of the groups.
        memory_mib: limit of the memory that all processes of the host use together, in MiB.
        cpus: how many CPUs they use at most; 0, or more than there are, for all.
        found: the hierarchies; those mounted here by default.

    Returns:
        The groups that the host's first process must join.
    """
    found = hierarchies() if found is None else found
    unified = is_unified(found)
    pinned = any("cpuset" in each.controllers for each in found)
    groups = []
    for each in found:
        parent = each.path / _PARENT
        group = parent / name
        parent.mkdir(exist_ok=True)
        if "cpuset" in each.controllers:
            _inherit_cpuset(each.path, parent)
        if each.is_v2 and unified:
            _delegate(each.path, parent)
        # One that a killed host has left may have groups below it, which hold on to its CPUs.
        new = not group.exists()
        group.mkdir(exist_ok=True)
        if "cpuset" in each.controllers:
            _inherit_cpuset(parent, group)
            if cpus and new:
                _pin(parent / "cpuset.cpus", group, cpus)
        if "cpu" in each.controllers and cpus and not pinned:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(cpus * _PERIOD))
        if "memory" in each.controllers:
            (group / "memory.limit_in_bytes").write_text(str(memory_mib * _MIB))
        if each.is_v2 and unified:
            (group / "memory.max").write_text(str(memory_mib * _MIB))
            if cpus and not (group / "cpuset.cpus").exists():
                (group / "cpu.max").write_text(f"{cpus * _PERIOD} {_PERIOD}")
            elif cpus and new:
                _pin(parent / "cpuset.cpus.effective", group, cpus)
        groups.append(group)
    return groups


def members(name: str) -> set[int]:
    """The processes of a host; empty when it does not run."""
    found: set[int] = set()
    for group in _groups(name):
        with suppress(OSError):
            found.update(int(pid) for pid in (group / "cgroup.procs").read_text().split())
    return found


def kill(name: str, timeout: float = 10.0) -> None:
    """Kill every process of a host and wait until none is left.

    Args:
        name: name of the groups.
        timeout: seconds to wait.

    Raises:
        TimeoutError: processes are left, which only uninterruptible ones could be.
    """
    deadline = time.monotonic() + timeout
    while pids := members(name):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            message = f"processes {sorted(pids)} of host {name} survive SIGKILL"
            raise TimeoutError(message)
        time.sleep(0.02)


def remove(name: str) -> None:
    """Remove the (by now empty) groups of a host."""
    for group in sorted(_groups(name), key=lambda path: len(path.parts), reverse=True):
        # A group stays busy for a moment after its last process has gone.
        for _ in range(50):
            try:
                group.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)
            else:
                break
    for each in hierarchies():
        with suppress(OSError):
            (each.path / _PARENT).rmdir()


def _groups(name: str) -> Iterator[Path]:
    for each in hierarchies():
        for folder, _, _ in os.walk(each.path / _PARENT / name):
            yield Path(folder)


def _inherit_cpuset(parent: Path, group: Path) -> None:
    """A new v1 cpuset has no CPU and no memory node, and refuses processes until it gets some."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (group / name).read_text().strip():
            (group / name).write_text((parent / name).read_text())
    (group / "cgroup.clone_children").write_text("1")


def _pin(available: Path, group: Path, cpus: int) -> None:
    """Give a group some of the CPUs that the file names, those that the fewest groups beside it have."""
    taken = Counter[int]()
    for other in group.parent.glob("*/cpuset.cpus"):
        if other.parent != group:
            taken.update(_numbers(other.read_text()))
    chosen = sorted(_numbers(available.read_text()), key=lambda cpu: (taken[cpu], cpu))[:cpus]
    (group / "cpuset.cpus").write_text(",".join(map(str, sorted(chosen))))


def _numbers(text: str) -> list[int]:
    """The numbers in a list as the kernel writes it (cpuset(7), ``0-1,4``)."""
    ranges = (each.split("-") for each in text.strip().split(",") if each)
    return [number for bounds in ranges for number in range(int(bounds[0]), int(bounds[-1]) + 1)]


def _delegate(root: Path, parent: Path) -> None:
    for group in (root, parent):
        available = (group / "cgroup.controllers").read_text().split()
        for controller in available:
            with suppress(OSError):  # one that can't be delegated is one that hosts go without
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
