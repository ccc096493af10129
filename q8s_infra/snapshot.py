"""Snapshots of a cluster, and a lost cluster made again from one.

A snapshot holds etcd's data and the keys that the cluster is known by (``hostscripts/snapshot.sh``). As a file it is
sealed for its stack: who has no secrets of the stack can't read it, and what was changed is refused.
"""

from __future__ import annotations

import base64
import io
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken
from pulumi import automation

from q8s_infra.cloud import Instance
from q8s_infra.hostkeys import snapshot_key
from q8s_infra.hosts import HostError, Hosts
from q8s_infra.plan import ClusterPlan
from q8s_infra.printable import print_line
from q8s_infra.remote import Step
from q8s_infra.spec import Mistake, SpecErrors
from q8s_infra.strays import Lost

_SECONDS: Final = 60
"""For a question to a host."""


class SnapshotError(Exception):
    """It can't be taken, read or laid; the message says why, and what to do."""


@dataclass(frozen=True)
class Snapshot:
    """What a cluster can be made again from.

    Attributes:
        content: tar.gz with ``etcd.db``, ``pki/``, ``fixed`` and ``kubernetes-version``; secret.
    """

    content: bytes

    def sealed(self, seed: str) -> bytes:
        """As a file for whoever has the stack's seed."""
        return _seal(seed).encrypt(self.content)

    @property
    def kubernetes(self) -> str:
        """The version of Kubernetes that it is of, such as ``1.34.4``.

        Raises:
            SnapshotError: it has none.
        """
        try:
            with tarfile.open(fileobj=io.BytesIO(self.content)) as tar:
                named = tar.extractfile("./kubernetes-version")
                return named.read().decode().strip().removeprefix("v") if named else ""
        except (tarfile.TarError, KeyError, EOFError) as error:
            raise SnapshotError(f"the snapshot is not whole: {error}") from None


def write(path: Path, sealed: bytes) -> None:
    """A new file for its owner alone; none in place of another snapshot.

    Raises:
        OSError: there is a file already, or it can't be written.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(sealed)


def unsealed(data: bytes, seed: str) -> Snapshot:
    """The snapshot in a file.

    Raises:
        SnapshotError: it is of another stack, or was changed.
    """
    try:
        return Snapshot(_seal(seed).decrypt(data))
    except InvalidToken:
        raise SnapshotError("this is no snapshot of this stack, or it is damaged") from None


def _seal(seed: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(snapshot_key(seed)))


async def take(planned: ClusterPlan, hosts: Hosts) -> Snapshot:
    """A snapshot from the first control plane that gives one.

    Raises:
        SnapshotError: none does; says why for each.
    """
    refused = []
    for node in planned.control_planes:
        try:
            return Snapshot(await hosts.run(Step("snapshot", node.name, "Kubernetes")))
        except HostError as error:
            refused.append(str(error))
    raise SnapshotError("no control plane gives a snapshot\n" + "\n".join(refused))


async def lay(planned: ClusterPlan, hosts: Hosts, snapshot: Snapshot) -> None:
    """Put a snapshot on the first control plane's host, which has no cluster yet, for the next ``pulumi up``.

    Raises:
        HostError: the host can't be reached, or has a cluster.
    """
    document = base64.encodebytes(snapshot.content).decode()
    await hosts.run(Step("lay-snapshot", planned.control_planes[0].name, "Kubernetes"), {"snapshot": document})


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


def make_host(stack: automation.Stack, planned: ClusterPlan, missing: Sequence[Lost]) -> None:
    """Let the stack forget lost instances, and make the first control plane's host, and nothing else.

    Raises:
        pulumi.automation.CommandError: Pulumi failed; it has printed why.
    """
    if missing:
        stack.refresh(target=[instance.urn for instance in missing], on_output=print_line)
    first = planned.control_planes[0].name
    stack.up(target=[f"**::{name}" for name in (first, f"{first}-scripts", f"{first}-host")], on_output=print_line)
