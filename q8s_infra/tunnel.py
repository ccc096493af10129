"""The way to an API server behind a bastion: a SOCKS proxy on this machine, which the stack's kubeconfig names."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

import asyncssh
import pulumi

from q8s_infra.defaults import LOOPBACK
from q8s_infra.spec import Access, Bastion
from q8s_infra.ssh import reason, through

_AGAIN_SECONDS: Final = 1
_ANSWER_SECONDS: Final = 5
# RFC 1928, section 3: version 5 and one method, which is no authentication; and the answer that takes it.
_GREETING: Final = b"\x05\x01\x00"
_TAKEN: Final = b"\x05\x00"


class TunnelError(Exception):
    """There is no way through the bastion; the message says why, and what to do."""


def start(access: Access) -> None:
    """Keep the proxy from now to the end of the Pulumi program, where there is a bastion.

    Raises:
        pulumi.RunError: there is no way through it. A preview only warns: a new stack's dials nothing.
    """
    if (bastion := access.bastion) is None:
        return
    started: Future[None] = Future()

    def work() -> None:
        try:
            asyncio.run(keep(bastion, lambda: started.set_result(None)))
        except BaseException as error:
            started.set_exception(error)

    # The program's module ends long before its resources are made: the language host then waits for them, and exits.
    # So no context in the module would live long enough, and the thread lives as long as the process.
    threading.Thread(target=work, name="tunnel", daemon=True).start()
    try:
        started.result()
    except TunnelError as error:
        if not pulumi.runtime.is_dry_run():
            raise pulumi.RunError(str(error)) from None
        pulumi.log.warn(str(error))


async def keep(bastion: Bastion, ready: Callable[[], None]) -> None:
    """Keep a SOCKS proxy through a bastion until cancelled; a connection that is lost is made again.

    Where a proxy is at the port already, it is used, and followed by one of our own: `pulumi up` may begin while
    another process keeps a tunnel, and end after it.

    Args:
        bastion: with the port.
        ready: called once, when there is a proxy.

    Raises:
        TunnelError: there was none to begin with.
    """
    began = False

    def there_is_one() -> None:
        nonlocal began
        if not began:
            began = True
            ready()

    while True:
        await _follow_another(bastion, there_is_one)
        try:
            await _serve(bastion, there_is_one)
        except TunnelError:
            # One of another process's may have come first, since we have looked.
            await _follow_another(bastion, there_is_one)
            if not began:
                raise
        await asyncio.sleep(_AGAIN_SECONDS)


async def _follow_another(bastion: Bastion, ready: Callable[[], None]) -> None:
    """Wait for the end of the proxy that another process has at the port; where there is none, for nothing."""
    with suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection(LOOPBACK, bastion.local_port)
        try:
            writer.write(_GREETING)
            async with asyncio.timeout(_ANSWER_SECONDS):
                taken = await reader.readexactly(len(_TAKEN)) == _TAKEN
            if taken:
                ready()
                await reader.read()
        finally:
            writer.close()


async def _serve(bastion: Bastion, ready: Callable[[], None]) -> None:
    """Be the proxy for as long as the connection to the bastion lives.

    Raises:
        TunnelError: there is no such connection, or the port is another program's.
    """
    try:
        async with through(bastion) as connection:
            await connection.forward_socks(LOOPBACK, bastion.local_port)
            ready()
            await connection.wait_closed()
    except (OSError, ValueError, asyncssh.Error) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            said = f"access.bastion.localPort: another program uses {bastion.local_port}: end it, or give another port"
        else:
            login = f"ssh -p {bastion.port} {bastion.user}@{bastion.host}"
            said = f"access.bastion: no way through {bastion.host}: {reason(error)}. Mend it until this works: {login}"
        raise TunnelError(said) from None
