"""Hosts leave nothing on the machine and in the project: of all that there is, so nothing may come and go beside."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab import layout
from lab.hosts import cgroups
from tests.lab.servers import Create, eventually

pytestmark = pytest.mark.timeout(300)


def compute_pid() -> int:
    """The process of this lab's nova-compute."""
    here = Path("/proc/self/ns/mnt").readlink()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if (
                (path.parent / "ns/mnt").readlink() == here
                and b"python" in words[0]
                and b"lab.hosts.nova_compute" in words
            ):
                return int(path.parent.name)
    raise AssertionError("nova-compute does not run")


def traces(server_id: str) -> list[str]:
    """What the machine still has of a server."""
    name = f"q8s-{server_id}"
    found = [f"process {pid}" for pid in cgroups.members(name)]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/*/{name}")]
    found += [f"mount {line}" for line in Path("/proc/self/mounts").read_text().splitlines() if server_id in line]
    found += [
        str(path) for path in (Path("/run/netns", name), Path("/run/systemd/nspawn/propagate", name)) if path.exists()
    ]
    return found + [str(path) for path in layout.STATE.rglob(server_id)]


def is_gone(server_id: str) -> bool:
    """True when the machine has nothing of a server left."""
    return not traces(server_id)


@pytest.mark.parametrize("times", [3, pytest.param(10, marks=pytest.mark.full)])
def test_servers_come_and_go_without_a_trace(create: Create, cloud: Any, times: int) -> None:
    def interfaces() -> set[str]:
        return {path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith("tap")}

    def descriptors() -> int:
        return len(list(Path(f"/proc/{compute_pid()}/fd").iterdir()))

    def allocated() -> dict[str, int]:
        said = cloud.compute.get("/limits").json()["limits"]["absolute"]
        return {name: count for name, count in said.items() if name.endswith("Used")}

    def ports() -> set[str]:
        return {port.id for port in cloud.network.ports()}

    taps, before, known = interfaces(), allocated(), ports()
    opened: list[int] = []
    for number in range(times):
        server = create(f"hosts-test-{number}")
        server.await_ssh()
        assert traces(server.id)
        assert interfaces() > taps
        assert ports() > known
        assert allocated() != before
        cloud.delete_server(server.id, wait=True, timeout=60)
        eventually(partial(is_gone, server.id), 10, f"no trace of {server.id}")
        opened.append(descriptors())
    assert interfaces() == taps
    assert opened[-1] <= opened[1] + 2, f"nova-compute's open files grow: {opened}"
    assert allocated() == before
    assert ports() == known
