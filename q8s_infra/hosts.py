"""A stack's hosts, for steps that are run on request and are no resource of the stack's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncssh

from q8s_infra.cloud import Instance
from q8s_infra.printable import printable
from q8s_infra.remote import Step, archive, command_line
from q8s_infra.ssh import Way, connected, reason

_SECONDS: Final = 1800
"""For a step, by the clock of who asks for it."""


class HostError(Exception):
    """A host can't be reached, or a step on it failed; the message names the node and says why."""


@dataclass(frozen=True)
class Hosts:
    """Those of a stack, by the way to them.

    Attributes:
        way: to them.
        say: hears each line of progress while a step runs.
    """

    way: Way
    say: Callable[[str], None]

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
        wrong: list[str] = []

        async def heard(lines: asyncssh.SSHReader[bytes]) -> None:
            async for line in lines:
                text = printable(line.decode(errors="replace")).rstrip()
                # As hostscripts/lib.sh and run-step.sh begin their lines of progress.
                if text.startswith(f"{step.node}: "):
                    self.say(text)
                else:
                    wrong.append(text)

        async with self.at(step.node) as host, asyncio.timeout(_SECONDS):
            process = await host.create_process(command, encoding=None)
            process.stdin.write(archive(files or {}).encode())
            process.stdin.write_eof()
            result: bytes
            result, _ = await asyncio.gather(process.stdout.read(), heard(process.stderr))
            done = await process.wait()
        if done.exit_status != 0:
            why = "\n".join(wrong).strip() or f"the step ended with {done.exit_status}"
            raise HostError(f"{step.node}: {why}")
        return result
