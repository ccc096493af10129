"""The resources of the ``command`` plugin: commands here and on a host, and copies to a host.

The behaviour is that of pulumi-command 1.2.1, its sharp edges too: a command's connection stays open until the plugin
ends, neither ``customTimeouts`` nor a cancelled update end a remote command or a copy that runs, and a shown line of
64 KiB stalls its command.
"""

# ruff: noqa: N802, D102, ARG002  the names and arguments of the protocol's methods

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Final

from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2

from lab.pulumi.command import local, ssh
from lab.pulumi.command.copy import copy
from lab.pulumi.command.inputs import COPY, INPUTS, LOCAL, check
from lab.pulumi.command.output import OnLine, Output
from lab.pulumi.plugin import Context, Plugin, PluginError, detailed_diff, refuse
from lab.pulumi.wire import UNKNOWN, Properties, changes, from_struct, is_known, plain, to_struct
from lab.versions import PULUMI_COMMAND

# How PULUMI_COMMAND_STDOUT and _STDERR follow from the former outputs.
_PREVIOUS: Final = {"stdout": "PULUMI_COMMAND_STDOUT", "stderr": "PULUMI_COMMAND_STDERR"}


class CommandPlugin(Plugin):
    """Serves commands and copies."""

    name = "command"
    version = PULUMI_COMMAND

    async def CheckConfig(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        return detailed_diff({}, lambda _: False)

    async def Configure(
        self, request: provider_pb2.ConfigureRequest, context: Context
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        kind = _kind(request.urn)
        if kind not in INPUTS:
            await refuse(context, f"{kind}: the stand-in for the command plugin has only {', '.join(INPUTS)}")
        inputs, failures = check(kind, from_struct(request.news))
        return provider_pb2.CheckResponse(
            inputs=to_struct(inputs),
            failures=[provider_pb2.CheckFailure(property=path, reason=reason) for path, reason in failures],
        )

    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        new = _ignoring(from_struct(request.news), from_struct(request.olds), list(request.ignoreChanges))
        changed = changes(from_struct(request.old_inputs), new)
        return detailed_diff(changed, lambda path: path.split("[")[0] == "triggers")

    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:
        inputs = from_struct(request.properties)
        identity = secrets.token_hex(4)
        if _kind(request.urn) == COPY:
            if not request.preview:
                await self._copy(request.urn, inputs, timeout=request.timeout, context=context)
            return provider_pb2.CreateResponse(id=identity, properties=to_struct(inputs))
        name = request.urn.rsplit("::", 1)[-1]
        if request.preview:
            state = {**inputs, "stdout": UNKNOWN, "stderr": UNKNOWN}
        else:
            state = await self._run(request.urn, "create", inputs, {}, timeout=request.timeout, context=context)
        return provider_pb2.CreateResponse(id=f"{name}{identity}", properties=to_struct(state))

    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:
        olds = from_struct(request.olds)
        inputs = _ignoring(from_struct(request.news), olds, list(request.ignoreChanges))
        if _kind(request.urn) == COPY:
            if not request.preview and _content(inputs) != _content(olds):
                await self._copy(request.urn, inputs, timeout=request.timeout, context=context)
            return provider_pb2.UpdateResponse(properties=to_struct(inputs))
        if request.preview:
            # The outputs may change with any input that they could be computed from.
            known = all(is_known(value) for value in inputs.values())
            was = {key: olds[key] for key in INPUTS[_kind(request.urn)] if key in olds}
            stale = not known or changes(was, {key: inputs.get(key) for key in was})
            outputs = {key: UNKNOWN if stale else olds.get(key, "") for key in _PREVIOUS}
            state = {**inputs, **outputs}
        else:
            action = "update" if inputs.get("update") is not None else "create"
            state = await self._run(request.urn, action, inputs, olds, timeout=request.timeout, context=context)
        return provider_pb2.UpdateResponse(properties=to_struct(state))

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        # What was copied stays.
        if _kind(request.urn) != COPY:
            olds = from_struct(request.properties)
            await self._run(request.urn, "delete", olds, olds, timeout=request.timeout, context=context)
        return empty_pb2.Empty()

    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:
        # There is nothing to read: what a command made is known to it alone, and the original looks at no copy.
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    async def _run(
        self, urn: str, action: str, inputs: Properties, olds: Properties, *, timeout: float, context: Context
    ) -> Properties:
        """Run what ``action`` names, if anything; returns the new state."""
        state = {**inputs, **{key: olds.get(key, "") for key in _PREVIOUS}}
        known: dict[str, Any] = plain(inputs)
        command = known.get(action)
        if command is None:
            return state

        show = self._status(urn)

        async def warn(line: str) -> None:
            await self.log.write("warning", line, urn)

        output = Output(show, known.get("logging"))
        previous: dict[str, str] = {}
        if known.get("addPreviousOutputInEnv") is not False:
            previous = {name: plain(olds[key]) for key, name in _PREVIOUS.items() if plain(olds.get(key))}
        try:
            if _kind(urn) == LOCAL:
                await self.running.run(local.run(command, known, previous, output), timeout, action)
            else:
                await ssh.run(
                    command,
                    known,
                    previous,
                    output,
                    pause=self._pause(timeout, action),
                    status=show,
                    warn=warn,
                )
        except PluginError as error:
            await refuse(context, str(error))
        return {**state, "stdout": output.text("stdout"), "stderr": output.text("stderr")}

    async def _copy(self, urn: str, inputs: Properties, *, timeout: float, context: Context) -> None:
        try:
            await copy(plain(inputs), pause=self._pause(timeout, "copy"), status=self._status(urn))
        except PluginError as error:
            await refuse(context, str(error))

    def _status(self, urn: str) -> OnLine:
        """Takes lines that show while the resource is worked on."""

        async def show(line: str) -> None:
            await self.log.write("info", line, urn, status=True)

        return show

    def _pause(self, timeout: float, action: str) -> ssh.Pause:
        """Sleeps, for at most ``timeout`` seconds from now (0: no limit) in all, or until the update is cancelled."""
        end = asyncio.get_running_loop().time() + timeout if timeout else None
        return lambda seconds: self.running.pause(seconds, end, action)


def _ignoring(news: Properties, olds: Properties, ignored: list[str]) -> Properties:
    return {**news, **{key: olds[key] for key in ignored if key in olds}}


def _content(inputs: Properties) -> tuple[str, str]:
    """What a copy is made anew for: neither the path nor the kind of its source matters to the original."""
    known = plain(inputs)
    return known["source"].hash, known["remotePath"]


def _kind(urn: str) -> str:
    """The resource's type out of its URN (the last of the qualified types)."""
    return urn.split("::")[2].rsplit("$", 1)[-1]
