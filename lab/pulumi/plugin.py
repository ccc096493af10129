"""What every stand-in plugin shares: the gRPC server, the way to the engine's log, errors, and a clean end."""

# ruff: noqa: N802, D102, ARG002  the names and arguments of the protocol's methods

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf import any_pb2, empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, status_pb2
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderServicer, add_ResourceProviderServicer_to_server

from lab.pulumi.wire import Properties, to_struct

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

_MESSAGE_LIMIT: Final = 400 << 20
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
    ("grpc.max_send_message_length", _MESSAGE_LIMIT),
]
_SEVERITIES: Final = {
    "debug": engine_pb2.DEBUG,
    "info": engine_pb2.INFO,
    "warning": engine_pb2.WARNING,
    "error": engine_pb2.ERROR,
}


# grpc has no types of its own; what it hands to a method is only used to abort it.
Context = Any
_T = TypeVar("_T")


class PluginError(Exception):
    """A request that can't be served; its text is what the user reads."""


class InitializationError(PluginError):
    """The resource exists but did not become ready; the engine keeps it in the state and asks again."""

    def __init__(self, resource_id: str, properties: Properties, inputs: Properties, reason: str) -> None:
        super().__init__(reason)
        self.resource_id = resource_id
        self.properties = properties
        self.inputs = inputs


class EngineLog:
    """Lines for the user, shown by the engine beside the resource that they are about."""

    def __init__(self, address: str | None) -> None:
        self._engine: Any = None
        if address:
            self.attach(address)

    def attach(self, address: str) -> None:
        """Send from now on to the engine at this address."""
        channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._engine = engine_pb2_grpc.EngineStub(channel)

    async def write(self, severity: str, message: str, urn: str = "", *, status: bool = False) -> None:
        """Write one message; ``status`` ones show while the resource is worked on and are not kept."""
        if self._engine is None:
            return
        request = engine_pb2.LogRequest(severity=_SEVERITIES[severity], message=message, urn=urn, ephemeral=status)
        # An engine that is going away takes no more lines, which is no reason to fail what still runs. One that lives
        # and takes none is waited for: this process ends with it (`until_orphaned`).
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self._engine.Log(request)


@dataclass
class Running:
    """The requests that are under way, so that `Cancel` can end them."""

    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, work: Coroutine[Any, Any, _T], timeout: float, what: str) -> _T:
        """Run one request to its end, to ``timeout`` seconds (0: no limit) or to its cancellation.

        Raises:
            PluginError: the time was up, or the update was cancelled.
        """
        if self.cancelled.is_set():
            work.close()
            raise PluginError(f"{what}: the update was cancelled")
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        try:
            return await asyncio.wait_for(task, timeout or None)
        except TimeoutError as error:
            raise PluginError(f"{what}: not done within the resource's timeout of {timeout:g} s") from error
        except asyncio.CancelledError as error:
            if not self.cancelled.is_set():
                raise
            raise PluginError(f"{what}: the update was cancelled") from error
        finally:
            self.tasks.discard(task)

    async def pause(self, seconds: float, end: float | None, what: str) -> None:
        """Sleep, in a request that nothing but its own pauses may end.

        Args:
            seconds: how long.
            end: the running loop's time by which the request must be done; None sets no limit.
            what: what the request does, for the error.

        Raises:
            PluginError: the time was up, or the update was cancelled.
        """
        now = asyncio.get_running_loop().time
        left = seconds if end is None else min(seconds, end - now())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.cancelled.wait(), left)
            raise PluginError(f"{what}: the update was cancelled")
        if end is not None and now() >= end:
            raise PluginError(f"{what}: not done within the resource's timeout")

    def cancel(self) -> None:
        """End everything under way and refuse what comes after."""
        self.cancelled.set()
        for task in self.tasks:
            task.cancel()


class Plugin(ResourceProviderServicer):
    """A resource provider; a subclass adds the resources."""

    name = "plugin"
    version = "0.0.0"

    def __init__(self, log: EngineLog) -> None:
        self.log = log
        self.running = Running()

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self.version)

    async def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> empty_pb2.Empty:
        self.log.attach(request.address)
        return empty_pb2.Empty()

    async def GetSchema(
        self,
        request: provider_pb2.GetSchemaRequest,
        context: Context,
    ) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=f'{{"name": "{self.name}", "version": "{self.version}"}}')

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        self.running.cancel()
        return empty_pb2.Empty()

    async def Invoke(self, request: provider_pb2.InvokeRequest, context: Context) -> provider_pb2.InvokeResponse:
        return await refuse(context, f"{request.tok}: the stand-in for the {self.name} plugin has no functions")


async def refuse(context: Context, message: str) -> NoReturn:
    """End a request with an error that the engine prints as it is."""
    await context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError


async def refuse_partial(context: Context, error: InitializationError) -> NoReturn:
    """End a create or update with an error that still carries the resource that now exists."""
    detail = any_pb2.Any()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=error.resource_id,
            properties=to_struct(error.properties),
            inputs=to_struct(error.inputs),
            reasons=[str(error)],
        )
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
    trailer = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(grpc.StatusCode.UNKNOWN, str(error), trailer)
    raise AssertionError


def detailed_diff(changed: Mapping[str, str], replaces: Callable[[str], bool]) -> provider_pb2.DiffResponse:
    """Tell the engine what differs: path to ``add``, ``delete`` or ``update``, and which paths need a replacement."""
    if not changed:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE, hasDetailedDiff=True)
    response = provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_SOME, hasDetailedDiff=True)
    for path, kind in changed.items():
        replace = replaces(path)
        name = kind.upper() + ("_REPLACE" if replace else "")
        response.detailedDiff[path].CopyFrom(
            provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(name), inputDiff=True)
        )
        top = path.split(".")[0].split("[")[0]
        if top not in response.diffs:
            response.diffs.append(top)
        if replace:
            response.replaces.append(path)
    return response


def serve(make: Callable[[EngineLog], Plugin]) -> None:
    """Run a plugin's process: print the port, serve until the engine interrupts it or is gone."""
    address = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        asyncio.run(_serve(make, address))
    except KeyboardInterrupt:
        # Interrupted before the handlers stood: nothing to end.
        sys.exit(0)


async def _serve(make: Callable[[EngineLog], Plugin], address: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    plugin = make(EngineLog(address))
    server = grpc.aio.server(options=_OPTIONS)
    add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await plugin.log.write("info", f"stand-in for the official {plugin.name} plugin {plugin.version} (Q8S lab)")
    await until_orphaned(stop)
    plugin.running.cancel()
    await server.stop(grace=1)


async def until_orphaned(stop: asyncio.Event) -> None:
    """Wait for ``stop`` or for the engine's process to be gone, however it went.

    The parent is looked at once a second: a parent-death signal would come from the death of the engine's
    *thread* that started us, and Go ends threads as it likes.
    """
    parent = os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1)
