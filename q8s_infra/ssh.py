"""The way into a stack's hosts for who has the stack's secrets: SSH with its key, and pinned host keys."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncssh
from pulumi import automation

from q8s_infra.cloud import Instance
from q8s_infra.hostkeys import derive
from q8s_infra.printable import printable
from q8s_infra.spec import Access, Bastion

CONNECT_SECONDS: Final = 30
"""For a TCP connection, and again for a login."""

_KEEPALIVE_SECONDS: Final = 15
"""After so long a silence the bastion is asked whether it is there; after three in vain the connection is lost."""


class NoState(Exception):
    """The stack has no keys yet, so no host can be reached."""


@dataclass(frozen=True)
class StackKeys:
    """The stack's secrets that lead into its hosts."""

    private: str = field(repr=False)
    seed: str = field(repr=False)

    @property
    def public(self) -> str:
        """The public half of the key, as hosts and guests know it."""
        return asyncssh.import_private_key(self.private).export_public_key().decode().strip()

    def known_host(self, machine: str) -> asyncssh.SSHKnownHosts:
        """The one host key that a machine may show, whatever its address."""
        return asyncssh.import_known_hosts(f"* {derive(self.seed, machine).public}\n")


def printed(outputs: Mapping[str, Any]) -> str:
    """What a command has printed, a secret or not, by its outputs in a state that was exported with its secrets."""
    text = outputs.get("stdout")
    return str(json.loads(text["plaintext"]) if isinstance(text, dict) else text or "")


def stack_keys(deployment: Mapping[str, Any]) -> StackKeys:
    """The keys in a stack's state, as exported with its secrets.

    Raises:
        NoState: it has none.
    """
    for resource in deployment.get("resources", []):
        made = resource["type"] == "command:local:Command" and resource["urn"].endswith("-keys")
        if made and (text := printed(resource.get("outputs", {}))):
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
        raise NoState(printable(str(error).rpartition("stderr:")[2]).strip()) from None


@dataclass(frozen=True)
class Way:
    """How a stack's hosts are reached.

    Attributes:
        access: as its spec says.
        keys: the stack's secrets.
        first: the first control plane's name; by mode floatingIp all other hosts are reached through it.
        instances: those that are there, by their nodes' names.
    """

    access: Access
    keys: StackKeys
    first: str
    instances: Mapping[str, Instance]

    def address(self, node: str) -> str:
        """Where a node's host is reached; empty where there is none."""
        instance = self.instances.get(node)
        return instance.address if instance else ""


@asynccontextmanager
async def connected(node: str, way: Way) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """An SSH connection to a node's host, through what stands between."""
    access, keys = way.access, way.keys
    async with AsyncExitStack() as undo:
        tunnel = None
        if access.mode == "floatingIp" and node != way.first:
            tunnel = await undo.enter_async_context(
                login(way.address(way.first), f"host/{way.first}", access.user, keys, tunnel=None)
            )
        elif bastion := access.bastion:
            tunnel = await undo.enter_async_context(through(bastion))
        yield await undo.enter_async_context(login(way.address(node), f"host/{node}", access.user, keys, tunnel=tunnel))


def through(bastion: Bastion) -> AbstractAsyncContextManager[asyncssh.SSHClientConnection]:
    """An SSH connection to a bastion.

    Raises:
        OSError: its private key can't be read.
        ValueError: its private key is none.
    """
    return asyncssh.connect(
        bastion.host, bastion.port, username=bastion.user, config=None, agent_path=None,
        client_keys=[asyncssh.import_private_key(bastion.private_key())],
        known_hosts=asyncssh.import_known_hosts(f"* {bastion.host_key}\n"),
        connect_timeout=CONNECT_SECONDS, login_timeout=CONNECT_SECONDS, keepalive_interval=_KEEPALIVE_SECONDS,
    )  # fmt: skip


def login(
    address: str, machine: str, user: str, keys: StackKeys, *, tunnel: asyncssh.SSHClientConnection | None
) -> AbstractAsyncContextManager[asyncssh.SSHClientConnection]:
    """An SSH connection to ``host/<node>`` or ``guest/<node>``."""
    return asyncssh.connect(
        address, 22, username=user, client_keys=[asyncssh.import_private_key(keys.private)],
        known_hosts=keys.known_host(machine), config=None, tunnel=tunnel or (), agent_path=None,
        connect_timeout=CONNECT_SECONDS, login_timeout=CONNECT_SECONDS,
    )  # fmt: skip


def reason(error: BaseException) -> str:
    """What an error says, or at least what it is."""
    return printable(str(error)) or type(error).__name__
