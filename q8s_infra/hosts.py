"""A stack's hosts, for steps that are run on request and are no resource of the stack's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncssh

from q8s_infra.cloud import Instance
from q8s_infra.remote import Step, archive, command_line
from q8s_infra.ssh import Way, connected, reason

_SECONDS: Final = 1800
"""For a step, by the clock of who asks for it."""


class HostError(Exception):
    """A host can't be reached, or a step on it failed; the message names the node and says why."""


@dataclass(frozen=True)
class Hosts:
    """Those of a stack, by the way to them."""

    way: Way

    @property
    def instances(self) -> Mapping[str, Instance]:
        """Those that are there, by their nodes' names."""
        return self.way.instances

    @asynccontextmanager
    async def at(self, node: str) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """A connection to a node's host.

        Raises:
            HostError: there is none.
        """
        address = self.way.address(node)
        if not address:
            raise HostError(f"{node}: there is no instance")
        try:
            async with connected(node, self.way) as host:
                yield host
        except (TimeoutError, OSError, asyncssh.Error) as error:
            raise HostError(f"{node}: SSH to {address}: {reason(error)}") from None

    async def run(self, step: Step, files: Mapping[str, str] | None = None) -> bytes:
        """Run a step on its node's host as ``pulumi up`` runs its own: once at a time, and to its end.

        Args:
            step: its arguments are plain texts.
            files: its documents.

        Returns:
            What it printed as its result.

        Raises:
            HostError: the host can't be reached, or the step failed.
        """
        arguments = {name: str(value) for name, value in step.arguments.items()}
        command = command_line(f"{step.node}-{step.script}", step, arguments)
        async with self.at(step.node) as host:
            done = await host.run(command, input=archive(files or {}).encode(), encoding=None, timeout=_SECONDS)
        if done.exit_status or not isinstance(done.stdout, bytes):
            said = done.stderr.decode(errors="replace") if isinstance(done.stderr, bytes) else ""
            raise HostError(f"{step.node}: {said.strip() or f'the step ended with {done.exit_status}'}")
        return done.stdout
