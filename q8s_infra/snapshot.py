"""Snapshots of a cluster, and a lost cluster made again from one.

A snapshot holds etcd's data and the keys that the cluster is known by (``hostscripts/snapshot.sh``). As a file it is
sealed for its stack: who has no secrets of the stack can't read it, and what was changed is refused. It may be larger
than memory: it goes in pieces from a host's disk to the file and back.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pulumi import automation

from q8s_infra.cloud import Instance
from q8s_infra.hosts import HostError, Hosts
from q8s_infra.plan import ClusterPlan
from q8s_infra.printable import print_line
from q8s_infra.remote import Step, archive, archive_of_one
from q8s_infra.sealed import SealError, contents, written
from q8s_infra.spec import Mistake, SpecErrors

_SECONDS: Final = 60
"""For a question to a host."""


class SnapshotError(Exception):
    """It can't be taken, read or laid; the message says why, and what to do."""


@dataclass(frozen=True)
class Snapshot:
    """A file that a cluster can be made again from.

    Its content is a tar.gz with ``etcd.db``, ``pki/``, ``fixed`` and ``kubernetes-version``.

    Attributes:
        path: of the file.
        size: of its content, in bytes.
        kubernetes: the version of Kubernetes that it is of, such as ``1.34.4``.
    """

    path: Path
    seed: str = field(repr=False)
    size: int
    kubernetes: str

    def content(self) -> Iterator[bytes]:
        """What :func:`take` got, in pieces; secret.

        Raises:
            SnapshotError: the file was changed since it was checked.
        """
        return _content(self.path, self.seed)


def checked(path: Path, seed: str) -> Snapshot:
    """The snapshot in a file, read once to its end: it is whole and as it was written.

    Raises:
        SnapshotError: it is of another stack, or was changed, or is not whole.
        OSError: it can't be read.
    """
    content = _Counted(_content(path, seed))
    version = ""
    try:
        with tarfile.open(fileobj=content, mode="r|gz") as tar:
            for entry in tar:
                if entry.name == "./kubernetes-version" and (named := tar.extractfile(entry)):
                    version = named.read().decode().strip().removeprefix("v")
    except (tarfile.TarError, EOFError) as error:
        raise SnapshotError(f"the snapshot is not whole: {error}") from None
    content.drain()
    if not version:
        raise SnapshotError("the snapshot is not whole: it does not name its version of Kubernetes")
    return Snapshot(path, seed, content.size, version)


def _content(path: Path, seed: str) -> Iterator[bytes]:
    try:
        yield from contents(path, seed)
    except SealError:
        raise SnapshotError("this is no snapshot of this stack, or it is damaged") from None


class _Counted(io.RawIOBase):
    """Pieces as a file, which knows how many bytes were read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece = pieces, b""
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes, fewer only at the end; -1 is not supported."""
        got = bytearray()
        while len(got) < size:
            if not self._piece:
                self._piece = next(self._pieces, b"")
            if not self._piece:
                break
            missing = size - len(got)
            got += self._piece[:missing]
            self._piece = self._piece[missing:]
        self.size += len(got)
        return bytes(got)

    def drain(self) -> None:
        """Read to the end."""
        while self.read(1 << 16):
            pass


async def take(planned: ClusterPlan, hosts: Hosts, path: Path, seed: str) -> None:
    """Write a snapshot from the first control plane that gives one to a new file; without one there is no file.

    Raises:
        SnapshotError: none does; says why for each.
        OSError: there is a file already, or it can't be written.
    """
    refused = []
    for node in planned.control_planes:
        try:
            with written(path, seed) as file:
                await hosts.stream(Step("snapshot", node.name, "Kubernetes"), [archive({}).encode()], file.write)
            return
        except HostError as error:
            refused.append(str(error))
    raise SnapshotError("no control plane gives a snapshot\n" + "\n".join(refused))


async def lay(planned: ClusterPlan, hosts: Hosts, snapshot: Snapshot) -> None:
    """Put a snapshot on the first control plane's host, which has no cluster yet, for the next ``pulumi up``.

    Raises:
        HostError: the host can't be reached, or has a cluster.
        SnapshotError: the file was changed since it was checked.
    """
    step = Step("lay-snapshot", planned.control_planes[0].name, "Kubernetes")
    # The host uses nothing of it before its end, which comes only after the last piece was found authentic.
    await hosts.stream(step, archive_of_one("snapshot", snapshot.size, snapshot.content()), lambda _: None)


async def refuse_member(planned: ClusterPlan, hosts: Hosts) -> None:
    """Stop where the first control plane lives: an earlier attempt has made its host, or it is in a cluster.

    Raises:
        SnapshotError: it is.
        HostError: it is there and can't be asked.
    """
    name = planned.control_planes[0].name
    if name not in hosts.instances:
        return
    async with hosts.at(name) as host:
        has_etcd = await host.run("sudo -n test -e /etc/kubernetes/manifests/etcd.yaml", timeout=_SECONDS)
    if has_etcd.exit_status == 0:
        raise SnapshotError(
            f"{name} is in a cluster, or has begun to make one, with which pulumi up goes on; nothing was changed. "
            f"To give up that cluster for the snapshot's, `openstack server delete {name}` first"
        )


def refuse_living(planned: ClusterPlan, there: Mapping[str, Instance], snapshot: Snapshot) -> None:
    """Stop where a restored cluster would stand beside what is left of the old one.

    The first control plane may be there, see :func:`refuse_member`.

    Args:
        planned: the cluster.
        there: the instances of its control planes that OpenStack has, by node names.
        snapshot: what is to be restored.

    Raises:
        SpecErrors: another control plane is there, or the snapshot is of another minor version of Kubernetes.
    """
    version = planned.spec.kubernetes.version
    mistakes = [
        Mistake(
            "controlPlanes",
            node.name,
            "is still there, with another state than the snapshot's: a snapshot is for a cluster whose control planes "
            f"are lost. `openstack server delete {node.name}` first",
        )
        for node in planned.control_planes[1:]
        if node.name in there
    ]
    if snapshot.kubernetes.rpartition(".")[0] != version.rpartition(".")[0]:
        told = f"the snapshot is of {snapshot.kubernetes}: restore with that, then upgrade"
        mistakes.append(Mistake("kubernetes.version", version, told))
    if mistakes:
        raise SpecErrors(mistakes)


def make_host(stack: automation.Stack, planned: ClusterPlan) -> None:
    """Make the first control plane's host, and nothing else.

    Raises:
        pulumi.automation.CommandError: Pulumi failed; it has printed why.
    """
    first = planned.control_planes[0].name
    stack.up(target=[f"**::{name}" for name in (first, f"{first}-scripts", f"{first}-host")], on_output=print_line)
