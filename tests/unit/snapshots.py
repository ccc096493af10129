"""Snapshots of tests; ``python -m tests.unit.snapshots BYTES FOLDER`` takes and lays one and prints its memory."""

from __future__ import annotations

import asyncio
import io
import json
import resource
import sys
import tarfile
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from q8s_infra import hosts as module
from q8s_infra import snapshot
from q8s_infra.hosts import Hosts
from tests.unit.stephost import NODE, StepHost

SEED, OTHER = "5e" * 32, "0e" * 32
Result = TypeVar("Result")
PLANNED: Final[Any] = SimpleNamespace(control_planes=[SimpleNamespace(name=NODE)])


def finished(work: Coroutine[Any, Any, Result]) -> Result:
    """Its result. Not by asyncio.run, which leaves the thread without a loop, and Pulumi's tests want one."""
    with closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(work)


def content(version: str) -> bytes:
    """What a host prints of a cluster with nothing but its version."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        entry = tarfile.TarInfo("./kubernetes-version")
        entry.size = len(version)
        tar.addfile(entry, io.BytesIO(version.encode()))
    return raw.getvalue()


async def _taken_and_laid(host: StepHost, file: Path) -> None:
    way: Any = SimpleNamespace(address=lambda _: "127.0.0.1")
    await snapshot.take(PLANNED, Hosts(way, print), file, SEED)
    host.at("/etc/kubernetes/manifests/etcd.yaml").unlink()
    await snapshot.lay(PLANNED, Hosts(way, print), snapshot.checked(file, SEED))


def main(size: int, folder: Path) -> None:
    """Take a snapshot of so many bytes of etcd's data and lay it; print by how many KiB memory grew meanwhile."""
    host = StepHost(folder)
    host.control_plane(size)
    setattr(module, "connected", host.connected)  # noqa: B010 - it is another one's
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    finished(_taken_and_laid(host, folder / "file.snapshot"))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"own": grown, "children": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
