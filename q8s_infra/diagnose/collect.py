"""Logs and facts of nodes, over OpenStack's API and SSH with pinned host keys; secrets stay in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncssh

from q8s_infra.cloud import Instance
from q8s_infra.diagnose.judge import Facts, Finding, forgotten, judge, ready_condition
from q8s_infra.diagnose.members import ARCHIVE_BYTES, facts_of, unpacked
from q8s_infra.plan import ClusterPlan, ControlPlane, Worker
from q8s_infra.printable import printable
from q8s_infra.remote import HOSTSCRIPTS
from q8s_infra.ssh import StackKeys, Way, connected, login, reason

NODE_SECONDS: Final = 240
"""For all of one machine: an emulated one takes its time."""
_READ_BYTES: Final = 1 << 16
_SCRIPT: Final = HOSTSCRIPTS / "collect-logs.sh"


@dataclass(frozen=True)
class Collected:
    """A node's documents by their path in the archive, and the verdict."""

    documents: Mapping[str, str]
    finding: Finding


@dataclass(frozen=True)
class _Machine:
    """What a machine told: documents and facts, or why it could not."""

    documents: Mapping[str, str]
    facts: Mapping[str, str] | str


async def collect(
    plan: ClusterPlan, names: Sequence[str], instances: Mapping[str, Instance], keys: StackKeys
) -> list[Collected]:
    """All named nodes side by side, the first control plane always first: it knows the node objects.

    Where all nodes are named, what is a node though no longer the stack's is found, too.
    """
    nodes = {node.name: node for node in plan.nodes}
    first = plan.control_planes[0].name
    way = Way(plan.spec.access, keys, first, instances)
    machines = dict(
        zip(
            wanted := list(dict.fromkeys([first, *names])),
            await asyncio.gather(*(_node(nodes[name], way, plan.spec.guest_link.guest) for name in wanted)),
            strict=True,
        )
    )
    listing = machines[first]["host"].documents.get("nodes.json", "the first control plane does not answer")
    found = [_collected(nodes[name], instances.get(name), machines[name], listing) for name in names]
    if set(names) == set(nodes):
        found += [Collected({}, finding) for finding in forgotten(listing, nodes)]
    return found


def _collected(
    node: ControlPlane | Worker, instance: Instance | None, machines: Mapping[str, _Machine], listing: str
) -> Collected:
    facts = Facts(
        worker=isinstance(node, Worker),
        status=instance.status if instance else None,
        fault=instance.fault if instance else "",
        host=machines["host"].facts,
        guest=machines["guest"].facts if "guest" in machines else {},
        ready=ready_condition(listing, node.name),
    )
    documents = {
        f"{node.name}/{part}/{name}": text
        for part, machine in machines.items()
        for name, text in {**machine.documents, "facts": _told(machine.facts)}.items()
    }
    if instance:
        documents[f"{node.name}/openstack/console.log"] = instance.console
    return Collected(documents, judge(node.name, facts))


def _told(facts: Mapping[str, str] | str) -> str:
    return facts if isinstance(facts, str) else "".join(f"{name}={value}\n" for name, value in facts.items())


async def _node(node: ControlPlane | Worker, way: Way, guest_address: str) -> dict[str, _Machine]:
    """What host and guest of a node tell."""
    parts = ["host", "guest"] if isinstance(node, Worker) else ["host"]
    silent = _Machine({}, "there is no instance to ask")
    address = way.address(node.name)
    if not address:
        return dict.fromkeys(parts, silent)
    found: dict[str, _Machine] = {}
    try:
        async with asyncio.timeout(NODE_SECONDS), connected(node.name, way) as host:
            role = "host" if isinstance(node, Worker) else "control-plane"
            found["host"] = await _asked(host, role)
            if isinstance(node, Worker):
                found["guest"] = await guest_of(host, node.name, way, guest_address)
    except (TimeoutError, OSError, asyncssh.Error) as error:
        for part in parts:
            found.setdefault(part, _Machine({}, f"SSH to {address}: {reason(error)}"))
    return found


async def guest_of(host: asyncssh.SSHClientConnection | None, node: str, way: Way, address: str) -> _Machine:
    """What the guest of a host tells, or why it can't be reached."""
    try:
        async with login(address, f"guest/{node}", way.access.user, way.keys, tunnel=host) as guest:
            return await _asked(guest, "guest")
    except asyncssh.HostKeyNotVerifiable:
        # What it has until its host has told it who it is (docs/decisions/0023).
        return _Machine({}, "SSH to the guest: it has another host key than its own, so it boots, or is nobody yet")
    except (OSError, asyncssh.Error) as error:
        return _Machine({}, f"SSH to the guest: {reason(error)}")


async def _asked(machine: asyncssh.SSHClientConnection, role: str) -> _Machine:
    """Run the script there, from its standard input, and take in what it sends, up to a limit."""
    process = await machine.create_process(f"sudo -n bash -s {role}", encoding=None, stderr=asyncssh.DEVNULL)
    async with process:
        process.stdin.write(_SCRIPT.read_bytes())
        process.stdin.write_eof()
        archive = bytearray()
        while len(archive) < ARCHIVE_BYTES and (part := await process.stdout.read(_READ_BYTES)):
            archive += part
        # One that sends more is cut off; a script that has sent all of it ends by itself.
        if len(archive) < ARCHIVE_BYTES:
            await process.wait()
    # Clean before anything looks at it: what a terminal obeys must not hide in a fact.
    documents = {name: printable(text) for name, text in unpacked(bytes(archive), role).items()}
    facts = facts_of(documents)
    documents.pop("facts", None)
    if not facts:
        return _Machine(documents, f"its logs can't be collected (exit {process.exit_status})")
    return _Machine(documents, facts)
