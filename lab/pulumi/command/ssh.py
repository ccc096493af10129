"""Run a command over SSH: dial with retries, verify the host key, through a bastion where one is given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncssh

from lab.pulumi.plugin import PluginError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from lab.pulumi.command.output import OnLine, Output

_CHUNK: Final = 64 << 10
# The original's back-off (pulumi/sdk go/common/util/retry): 0.1 s, half as much again each time, at most 5 s.
_FIRST_DELAY: Final = 0.1
_BACK_OFF: Final = 1.5
_LONGEST_DELAY: Final = 5.0

_DIAL_ERRORS: Final = (OSError, asyncssh.Error, TimeoutError, EOFError)
_T = TypeVar("_T")


async def run(
    command: str, inputs: dict[str, Any], previous: dict[str, str], output: Output, *, status: OnLine, warn: OnLine
) -> None:
    """Run ``command`` on the resource's connection until it ends.

    Args:
        command: the text that the remote user's shell runs.
        inputs: the resource's inputs (``connection``, ``environment``, ``stdin``), known and plain.
        previous: variables with the former output; a server that refuses them is only worth a warning.
        output: takes both streams.
        status: takes lines on what the dialling does.
        warn: takes warnings.

    Raises:
        PluginError: no connection, a host key that is not the expected one, refused variables, or a failed command
            (with its exit status and what it printed).
    """
    async with _connected(inputs["connection"], status) as connection:
        environment = dict(inputs.get("environment") or {})
        for name in await _refused(connection, environment):
            raise PluginError(f'could not set environment variable "{name}": {_ACCEPT_ENV}')
        for name in await _refused(connection, previous):
            await warn(f"Unable to set '{name}'. {_ACCEPT_ENV}")
        await _execute(connection, command, {**environment, **previous}, inputs.get("stdin") or "", output)


_ACCEPT_ENV: Final = (
    "This only works if your SSH server is configured to accept these variables via AcceptEnv. Alternatively, if a "
    "Bash-like shell runs the command on the remote host, you could prefix the command itself with the variables in "
    "the form 'VAR=value command'"
)


async def _execute(
    connection: asyncssh.SSHClientConnection, command: str, environment: dict[str, str], stdin: str, output: Output
) -> None:
    process: asyncssh.SSHClientProcess[bytes] = await connection.create_process(
        command, env=environment, encoding=None, stdin=asyncssh.PIPE if stdin else asyncssh.DEVNULL
    )
    try:
        await asyncio.gather(
            _pump(process.stdout, "stdout", output),
            _pump(process.stderr, "stderr", output),
            _write(process, stdin),
        )
        done = await process.wait()
    except asyncio.CancelledError:
        # Without a terminal nothing else tells the remote command that nobody waits for it any more.
        with contextlib.suppress(OSError):
            process.terminate()
        raise
    if done.exit_signal:
        reason = f"Process exited with signal {done.exit_signal[0]}"
    elif done.exit_status is None:
        reason = "the connection was lost before the command ended (it may still run)"
    elif done.exit_status:
        reason = f"Process exited with status {done.exit_status}"
    else:
        return
    raise PluginError(f'{reason}: running "{command}":\n{output.both}')


async def _pump(reader: asyncssh.SSHReader[bytes], stream: str, output: Output) -> None:
    # A connection that breaks shows as a missing exit status below.
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await reader.read(_CHUNK):
            await output.feed(stream, data)
    await output.feed(stream, b"")


async def _write(process: asyncssh.SSHClientProcess[bytes], text: str) -> None:
    if not text:
        return
    # A command need not read what it is given.
    with contextlib.suppress(OSError, asyncssh.Error):
        process.stdin.write(text.encode())
        await process.stdin.drain()
        process.stdin.write_eof()


async def _refused(connection: asyncssh.SSHClientConnection, variables: dict[str, str]) -> list[str]:
    """Names that the server does not let through: it need not say so, so look at what arrives."""
    refused = []
    for name, value in variables.items():
        seen = await connection.run(f"printenv {shlex.quote(name)}", env={name: value}, errors="replace")
        if str(seen.stdout or "").removesuffix("\n") != value.removesuffix("\n"):
            refused.append(name)
    return refused


@contextlib.asynccontextmanager
async def _connected(settings: dict[str, Any], status: OnLine) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to the host, closed at the end."""
    async with contextlib.AsyncExitStack() as stack:
        tunnel: asyncssh.SSHClientConnection | None = None
        if proxy := settings.get("proxy"):
            try:
                tunnel = await _dial("Dial proxy", proxy, None, status)
            except PluginError as error:
                raise PluginError(f"proxy: {error}") from error
            stack.push_async_callback(_close, tunnel)
        connection = await _dial("Dial", settings, tunnel, status)
        stack.push_async_callback(_close, connection)
        yield connection


async def _dial(
    what: str, settings: dict[str, Any], tunnel: asyncssh.SSHClientConnection | None, status: OnLine
) -> asyncssh.SSHClientConnection:
    options = await _options(settings)
    limit = int(settings["dialErrorLimit"])
    timeout = float(settings["perDialTimeout"]) or None
    where = f"{settings['host']} port {int(settings['port'])}"

    async def attempt() -> asyncssh.SSHClientConnection:
        return await asyncio.wait_for(asyncssh.connect(tunnel=tunnel or (), **options), timeout)

    return await _retried(f"{what} {where}", limit, attempt, status)


async def _options(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings in asyncssh's terms; nothing is read from the user's own SSH configuration."""
    options: dict[str, Any] = {
        "host": settings["host"],
        "port": int(settings["port"]),
        "username": settings["user"],
        "config": None,
        "known_hosts": None,
        "client_keys": None,
        "agent_path": None,
        "keepalive_interval": 15,
        "keepalive_count_max": 8,
    }
    if host_key := settings.get("hostKey"):
        try:
            options["known_hosts"] = ([asyncssh.import_public_key(host_key)], [], [])
        except asyncssh.KeyImportError as error:
            raise PluginError(f"failed to parse host key: {error}") from error
    keys: list[Any] = []
    if private_key := settings.get("privateKey"):
        try:
            keys.append(asyncssh.import_private_key(private_key, settings.get("privateKeyPassword")))
        except asyncssh.KeyImportError as error:
            raise PluginError(f"failed to parse private key: {error}") from error
    if socket := settings.get("agentSocketPath") or os.environ.get("SSH_AUTH_SOCK"):
        try:
            keys += await (await asyncssh.connect_agent(socket)).get_keys()
        except OSError as error:
            raise PluginError(f"SSH agent at {socket}: {error}") from error
    if keys:
        options["client_keys"] = keys
    if password := settings.get("password"):
        options["password"] = password
    return options


async def _retried(what: str, limit: int, attempt: Callable[[], Awaitable[_T]], status: OnLine) -> _T:
    """Try until it works; ``limit`` failures are forgiven, -1 forgives all."""
    delay = _FIRST_DELAY
    failures = 0
    while True:
        try:
            return await attempt()
        except _DIAL_ERRORS as error:
            failures += 1
            reason = _reason(error)
            if -1 < limit < failures:
                raise PluginError(f"{what}: after {failures - 1} failed attempts: {reason}") from error
            allowed = "inf" if limit == -1 else str(limit)
            await status(f"{what} {failures}/{allowed} failed: retrying ({reason})")
        await asyncio.sleep(delay)
        delay = min(delay * _BACK_OFF, _LONGEST_DELAY)


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return f"ssh: host key mismatch: the server does not have the expected host key ({error.reason})"
    if isinstance(error, asyncssh.PermissionDenied):
        return f"ssh: unable to authenticate: {error.reason}"
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error) or type(error).__name__


async def _close(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    with contextlib.suppress(TimeoutError, OSError, asyncssh.Error):
        await asyncio.wait_for(connection.wait_closed(), 2)
