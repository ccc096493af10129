"""A stack's hosts, for steps that are run on request and are no resource of the stack's."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import asyncssh

from q8s_infra.cloud import Instance
from q8s_infra.printable import printable
from q8s_infra.remote import Step, archive, command_line
from q8s_infra.ssh import Way, connected, reason

_SECONDS: Final = 1800
"""For a step, by the clock of who asks for it."""

_PIECE_BYTES: Final = 1 << 16


class HostError(Exception):
    """A host can't be reached, or a step on it failed; the message names the node and says why."""


@dataclass(frozen=True)
class Hosts:
    """Those of a stack, by the way to them.

    Attributes:
        way: to them.
        say: hears each line of progress while a step runs.
        request: an argument of every step that tells this request from all others: a step that runs for another one, or
            its result, is not taken for this one's (``hostscripts/run-step.sh``).
    """

    way: Way
    say: Callable[[str], None]
    request: str = field(default_factory=lambda: secrets.token_hex(8))

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
        result = bytearray()
        await self.stream(step, [archive(files or {}).encode()], result.extend)
        return bytes(result)

    async def stream(self, step: Step, documents: Iterable[bytes], take: Callable[[bytes], object]) -> None:
        """Run a step whose documents or result are too large for memory, see :meth:`run`.

        Args:
            step: its arguments are plain texts.
            documents: their archive, in pieces.
            take: gets the result in pieces. It is whole only when this returns.

        Raises:
            HostError: the host can't be reached, or the step failed.
        """
        arguments = {name: str(value) for name, value in step.arguments.items()}
        command = command_line(f"{step.node}-{step.script}", step, {**arguments, "request": self.request})
        wrong: list[str] = []

        async def given(stdin: asyncssh.SSHWriter[bytes]) -> None:
            # Where the command ends before it has read all, its exit status and its last words say why.
            with suppress(BrokenPipeError, ConnectionResetError):
                for piece in documents:
                    stdin.write(piece)
                    await stdin.drain()
                stdin.write_eof()

        async def taken(stdout: asyncssh.SSHReader[bytes]) -> None:
            while piece := await stdout.read(_PIECE_BYTES):
                take(piece)

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
            await asyncio.gather(given(process.stdin), taken(process.stdout), heard(process.stderr))
            done = await process.wait()
        if done.exit_status != 0:
            why = "\n".join(wrong).strip() or f"the step ended with {done.exit_status}"
            raise HostError(f"{step.node}: {why}")
