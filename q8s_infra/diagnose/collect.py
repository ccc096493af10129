"""Logs and facts of nodes, over OpenStack's API and SSH with pinned host keys; secrets stay in memory."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncssh
from pulumi import automation

from q8s_infra.cloud import Instance
from q8s_infra.defaults import GUEST_LINK
from q8s_infra.diagnose.judge import Facts, Finding, judge, ready_condition
from q8s_infra.hostkeys import derive
from q8s_infra.plan import ClusterPlan, ControlPlane, Worker
from q8s_infra.remote import HOSTSCRIPTS
from q8s_infra.spec import Access

CONNECT_SECONDS: Final = 30
"""For a TCP connection, and again for a login."""
NODE_SECONDS: Final = 240
"""For all of one machine: an emulated one takes its time."""
_SCRIPT: Final = HOSTSCRIPTS / "collect-logs.sh"


class NoState(Exception):
    """The stack has no keys yet, so no host can be reached."""


@dataclass(frozen=True)
class StackKeys:
    """The stack's secrets that lead into its hosts."""

    private: str = field(repr=False)
    seed: str = field(repr=False)

    def known_host(self, machine: str) -> asyncssh.SSHKnownHosts:
        """The one host key that a machine may show, whatever its address."""
        return asyncssh.import_known_hosts(f"* {derive(self.seed, machine).public}\n")


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


def stack_keys(deployment: Mapping[str, Any]) -> StackKeys:
    """The keys in a stack's state, as exported with its secrets.

    Raises:
        NoState: it has none.
    """
    for resource in deployment.get("resources", []):
        if resource["type"] == "command:local:Command" and resource["urn"].endswith("-keys"):
            printed = resource.get("outputs", {}).get("stdout")
            text = json.loads(printed["plaintext"]) if isinstance(printed, dict) else printed
            if text:
                keys = json.loads(text)
                return StackKeys(keys["privateKey"], keys["hostKeySeed"])
    raise NoState("the stack has no keys yet: pulumi up has not come so far")


def exported(stack: str) -> Mapping[str, Any]:
    """The state of a stack of this directory, with its secrets.

    Raises:
        NoState: there is no such stack, or its passphrase is not at hand.
    """
    try:
        return automation.LocalWorkspace(work_dir=".").export_stack(stack).deployment or {}
    except automation.CommandError as error:
        raise NoState(str(error).rpartition("stderr:")[2].strip()) from None


async def collect(
    plan: ClusterPlan, names: Sequence[str], instances: Mapping[str, Instance], keys: StackKeys
) -> list[Collected]:
    """All named nodes side by side, the first control plane always first: it knows the node objects."""
    nodes = {node.name: node for node in plan.nodes}
    first = plan.control_planes[0].name
    machines = dict(
        zip(
            wanted := list(dict.fromkeys([first, *names])),
            await asyncio.gather(*(_node(nodes[name], instances.get(name), plan.spec.access, keys) for name in wanted)),
            strict=True,
        )
    )
    listing = machines[first]["host"].documents.get("nodes.json", "the first control plane does not answer")
    return [_collected(nodes[name], instances.get(name), machines[name], listing) for name in names]


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


async def _node(
    node: ControlPlane | Worker, instance: Instance | None, access: Access, keys: StackKeys
) -> dict[str, _Machine]:
    """What host and guest of a node tell."""
    parts = ["host", "guest"] if isinstance(node, Worker) else ["host"]
    silent = _Machine({}, "there is no instance to ask")
    if instance is None or not instance.address:
        return dict.fromkeys(parts, silent)
    found: dict[str, _Machine] = {}
    try:
        async with asyncio.timeout(NODE_SECONDS), _connected(node.name, instance.address, access, keys) as host:
            role = "host" if isinstance(node, Worker) else "control-plane"
            found["host"] = await _asked(host, role, node.name)
            if isinstance(node, Worker):
                found["guest"] = await _guest(host, node, access, keys)
    except (TimeoutError, OSError, asyncssh.Error) as error:
        for part in parts:
            found.setdefault(part, _Machine({}, f"SSH to {instance.address}: {_reason(error)}"))
    return found


@asynccontextmanager
async def _connected(
    name: str, address: str, access: Access, keys: StackKeys
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """An SSH connection to a host, through the bastion where there is one."""
    async with AsyncExitStack() as undo:
        tunnel = None
        if bastion := access.bastion:
            tunnel = await undo.enter_async_context(
                asyncssh.connect(
                    bastion.host, bastion.port, username=bastion.user, config=None, agent_path=None,
                    client_keys=[asyncssh.import_private_key(bastion.private_key())],
                    known_hosts=asyncssh.import_known_hosts(f"* {bastion.host_key}\n"),
                    connect_timeout=CONNECT_SECONDS, login_timeout=CONNECT_SECONDS,
                )
            )  # fmt: skip
        yield await undo.enter_async_context(_login(address, f"host/{name}", access.user, keys, tunnel=tunnel))


def _login(
    address: str, machine: str, user: str, keys: StackKeys, *, tunnel: asyncssh.SSHClientConnection | None
) -> AbstractAsyncContextManager[asyncssh.SSHClientConnection]:
    return asyncssh.connect(
        address, 22, username=user, client_keys=[asyncssh.import_private_key(keys.private)],
        known_hosts=keys.known_host(machine), config=None, tunnel=tunnel or (), agent_path=None,
        connect_timeout=CONNECT_SECONDS, login_timeout=CONNECT_SECONDS,
    )  # fmt: skip


async def _guest(host: asyncssh.SSHClientConnection, node: Worker, access: Access, keys: StackKeys) -> _Machine:
    try:
        async with _login(GUEST_LINK.guest, f"guest/{node.name}", access.user, keys, tunnel=host) as guest:
            return await _asked(guest, "guest", node.name)
    except (OSError, asyncssh.Error) as error:
        return _Machine({}, f"SSH to the guest: {_reason(error)}")


async def _asked(machine: asyncssh.SSHClientConnection, role: str, node: str) -> _Machine:
    """Run the script there, from its standard input, and take in what it sends."""
    done = await machine.run(f"sudo -n bash -s {role} {node}", input=_SCRIPT.read_bytes(), encoding=None)
    documents = dict(_unpacked(done.stdout if isinstance(done.stdout, bytes) else b""))
    facts = dict(line.partition("=")[::2] for line in documents.pop("facts", "").splitlines())
    if not facts:
        return _Machine(documents, f"its logs can't be collected (exit {done.exit_status})")
    return _Machine(documents, facts)


def _unpacked(archive: bytes) -> Iterator[tuple[str, str]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content:
                    yield member.name.removeprefix("./"), content.read().decode(errors="replace")
    except tarfile.TarError:
        return


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
