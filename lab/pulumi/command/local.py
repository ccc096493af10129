"""Run a command on the machine where Pulumi runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any, Final

from lab.pulumi.plugin import PluginError

if TYPE_CHECKING:
    from lab.pulumi.command.output import Output

_CHUNK: Final = 64 << 10
_GRACE_SECONDS: Final = 3.0


async def run(command: str, inputs: dict[str, Any], environment: dict[str, str], output: Output) -> None:
    """Run ``command`` under the resource's interpreter until it ends.

    Args:
        command: the text given to the interpreter as its last argument.
        inputs: the resource's inputs (``interpreter``, ``dir``, ``environment``, ``stdin``), known and plain.
        environment: further variables.
        output: takes both streams.

    Raises:
        PluginError: the command could not be started or failed; names the exit status and what it printed.
    """
    words = [*(inputs.get("interpreter") or ["/bin/sh", "-c"]), command]
    stdin: str = inputs.get("stdin") or ""
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=inputs.get("dir") or os.getcwd(),  # noqa: PTH109
            env={**os.environ, **(inputs.get("environment") or {}), **environment},
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise PluginError(f'{error}: running "{command}"') from error
    try:
        # The caller sets the limit (`Running.run`) and, with the update, cancels; `_end` then ends what is left.
        await asyncio.gather(
            _pump(process.stdout, "stdout", output),
            _pump(process.stderr, "stderr", output),
            _write(process.stdin, stdin),
        )
        await output.end()
        status = await process.wait()
    finally:
        await _end(process)
    if status:
        reason = f"signal: {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        raise PluginError(f'{reason}: running "{command}":\n{output.both}')


async def _pump(reader: asyncio.StreamReader | None, stream: str, output: Output) -> None:
    assert reader is not None  # noqa: S101  for the type checker: both streams are pipes
    while data := await reader.read(_CHUNK):
        await output.feed(stream, data)


async def _write(writer: asyncio.StreamWriter | None, text: str) -> None:
    if writer is None:
        return
    # A command need not read what it is given.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        writer.write(text.encode())
        await writer.drain()
    writer.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what is left of a cancelled command, its children too (it leads a session of its own)."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(process.wait()), _GRACE_SECONDS)
            return
