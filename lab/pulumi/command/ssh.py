"""Connect over SSH and run a command: retries, a verified host key, a bastion where one is given.

Only the pauses between two dials end with the update or with the resource's timeout. What is under way on the network
does not, as in the original; all of it ends with this process, which ends with the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import socket
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncssh

from lab.pulumi.plugin import PluginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lab.pulumi.command.output import OnLine, Output

    Pause = Callable[[float], Awaitable[None]]

_CHUNK: Final = 64 << 10
# The original's back-off (pulumi/sdk go/common/util/retry): 0.1 s, half as much again each time, at most 5 s.
_FIRST_DELAY: Final = 0.1
_BACK_OFF: Final = 1.5
_LONGEST_DELAY: Final = 5.0

_DIAL_ERRORS: Final = (OSError, asyncssh.Error, TimeoutError, EOFError)
_T = TypeVar("_T")


async def run(
    command: str,
    inputs: dict[str, Any],
    previous: dict[str, str],
    output: Output,
    *,
    pause: Pause,
    status: OnLine,
    warn: OnLine,
) -> None:
    """Run ``command`` on the resource's connection until it ends.

    Nobody closes the connection, so it stays until this process ends, as the original's does.

    Args:
        command: the text that the remote user's shell runs.
        inputs: the resource's inputs (``connection``, ``environment``, ``stdin``), known and plain.
        previous: variables with the former output; a server that refuses them is only worth a warning.
        output: takes both streams.
        pause: sleeps between two dials for so many seconds; raises PluginError to end them.
        status: takes lines on what the dialling does.
        warn: takes warnings.

    Raises:
        PluginError: no connection, a host key that is not the expected one, refused variables, or a failed command
            (with its exit status and what it printed).
    """
    connection = await connect(inputs["connection"], pause, status)
    try:
        environment = dict(inputs.get("environment") or {})
        for name in await _refused(connection, environment):
            raise PluginError(f'could not set environment variable "{name}": {_ACCEPT_ENV}')
        for name in await _refused(connection, previous):
            await warn(f"Unable to set '{name}'. {_ACCEPT_ENV}")
        await _execute(connection, command, {**environment, **previous}, inputs.get("stdin") or "", output)
    except (OSError, asyncssh.Error) as error:
        raise PluginError(f'{explain(error)}: running "{command}"') from error


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
    # No limit and no signal to the host: like the original's, a command runs for as long as it likes, and goes on when
    # this process is gone.
    await asyncio.gather(
        _pump(process.stdout, "stdout", output),
        _pump(process.stderr, "stderr", output),
        _write(process, stdin),
    )
    await output.end()
    done = await process.wait()
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


async def connect(settings: dict[str, Any], pause: Pause, status: OnLine) -> asyncssh.SSHClientConnection:
    """Connect to the host, through its bastion where it has one.

    Args:
        settings: the resource's ``connection``, known and plain.
        pause: sleeps between two dials for so many seconds; raises PluginError to end them.
        status: takes lines on what the dialling does.

    Raises:
        PluginError: no connection, or a host key that is not the expected one; names the address.
    """
    options = await _options(settings)
    limit = int(settings["dialErrorLimit"])
    timeout = float(settings["perDialTimeout"])
    where = f"{settings['host']} port {int(settings['port'])}"
    proxy = settings.get("proxy")
    if not proxy:
        return await _retried(f"Dial {where}", limit, lambda: _dial(options, timeout), pause, status)

    try:
        proxy_options = await _options(proxy)
        proxy_limit, proxy_timeout = int(proxy["dialErrorLimit"]), float(proxy["perDialTimeout"])
        proxy_where = f"{proxy['host']} port {int(proxy['port'])}"
        tunnel = await _retried(
            f"Dial proxy {proxy_where}", proxy_limit, lambda: _dial(proxy_options, proxy_timeout), pause, status
        )
        reached = await _retried(
            f"Dial from proxy {where}", limit, lambda: _dial_through(tunnel, options), pause, status
        )
        # The original retries a handshake on the channel on which it failed, in vain.
        return await _retried(f"Dial {where}", limit, lambda: _result(reached), pause, status)
    except PluginError as error:
        raise PluginError(f"proxy: {error}") from error


async def _dial(options: dict[str, Any], timeout: float) -> asyncssh.SSHClientConnection:
    """Dial once; ``timeout`` seconds (0: no limit) are for the TCP connection alone.

    A server that accepts and then says nothing is waited for without a limit, as by the original.
    """
    async with asyncio.timeout(timeout or None) as until_connected:

        class Client(asyncssh.SSHClient):
            def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
                until_connected.reschedule(None)
                _probe_when_idle(conn.get_extra_info("socket"))

        return await asyncssh.connect(client_factory=Client, **options)


def _probe_when_idle(connection: socket.socket) -> None:
    """Notice a vanished host as Go does by default: nine TCP probes, 15 s apart; SSH itself sends none."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 9)


async def _dial_through(
    tunnel: asyncssh.SSHClientConnection, options: dict[str, Any]
) -> asyncssh.SSHClientConnection | Exception:
    """Dial once from a proxy; an error after the proxy reached the host is returned and not raised."""
    try:
        return await asyncssh.connect(tunnel=tunnel, **options)
    except asyncssh.ChannelOpenError:
        raise
    except _DIAL_ERRORS as error:
        return error


async def _result(reached: asyncssh.SSHClientConnection | Exception) -> asyncssh.SSHClientConnection:
    if isinstance(reached, Exception):
        raise reached
    return reached


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
        "login_timeout": 0,  # no limit, see `_dial`
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
    if agent := settings.get("agentSocketPath") or os.environ.get("SSH_AUTH_SOCK"):
        try:
            keys += await (await asyncssh.connect_agent(agent)).get_keys()
        except OSError as error:
            raise PluginError(f"SSH agent at {agent}: {error}") from error
    if keys:
        options["client_keys"] = keys
    if password := settings.get("password"):
        options["password"] = password
    return options


async def _retried(what: str, limit: int, attempt: Callable[[], Awaitable[_T]], pause: Pause, status: OnLine) -> _T:
    """Try until it works; ``limit`` failures are forgiven, -1 forgives all."""
    delay = _FIRST_DELAY
    failures = 0
    while True:
        try:
            return await attempt()
        except _DIAL_ERRORS as error:
            failures += 1
            reason = explain(error)
            if -1 < limit < failures:
                raise PluginError(f"{what}: after {failures - 1} failed attempts: {reason}") from error
            allowed = "inf" if limit == -1 else str(limit)
            await status(f"{what} {failures}/{allowed} failed: retrying ({reason})")
        await pause(delay)
        delay = min(delay * _BACK_OFF, _LONGEST_DELAY)


def explain(error: BaseException) -> str:
    """What went wrong on a connection, in the user's words."""
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return f"ssh: host key mismatch: the server does not have the expected host key ({error.reason})"
    if isinstance(error, asyncssh.PermissionDenied):
        return f"ssh: unable to authenticate: {error.reason}"
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error) or type(error).__name__
