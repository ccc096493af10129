"""The resources of the ``command`` plugin: ``command:local:Command`` and ``command:remote:Command``.

The behaviour is that of pulumi-command 1.2.1, its sharp edges too: connections stay open until the plugin ends, neither
``customTimeouts`` nor a cancelled update end a remote command that runs, and a shown line of 64 KiB stalls its command.
"""

# ruff: noqa: N802, D102, ARG002  the names and arguments of the protocol's methods

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Final

from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2

from lab.pulumi.command import local, ssh
from lab.pulumi.command.output import LOGGING, Output
from lab.pulumi.plugin import Context, Plugin, PluginError, detailed_diff, refuse
from lab.pulumi.wire import (
    UNKNOWN,
    Properties,
    Secret,
    Value,
    as_secret,
    changes,
    from_struct,
    is_known,
    plain,
    to_struct,
)
from lab.versions import PULUMI_COMMAND

LOCAL: Final = "command:local:Command"
REMOTE: Final = "command:remote:Command"

_TEXT: Final = (str,)
_COMMON: Final[dict[str, tuple[type, ...]]] = {
    "create": _TEXT,
    "update": _TEXT,
    "delete": _TEXT,
    "stdin": _TEXT,
    "logging": _TEXT,
    "environment": (dict,),
    "triggers": (list,),
    "addPreviousOutputInEnv": (bool,),
}
_INPUTS: Final[dict[str, dict[str, tuple[type, ...]]]] = {
    LOCAL: {**_COMMON, "interpreter": (list,), "dir": _TEXT},
    REMOTE: {**_COMMON, "connection": (dict,)},
}
_UNSUPPORTED: Final = {"assetPaths", "archivePaths"}
_CONNECTION: Final[dict[str, tuple[type, ...]]] = {
    "host": _TEXT,
    "port": (int, float),
    "user": _TEXT,
    "password": _TEXT,
    "privateKey": _TEXT,
    "privateKeyPassword": _TEXT,
    "agentSocketPath": _TEXT,
    "dialErrorLimit": (int, float),
    "perDialTimeout": (int, float),
    "hostKey": _TEXT,
    "proxy": (dict,),
}
_CONNECTION_DEFAULTS: Final = {"user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15}
_CONNECTION_SECRETS: Final = ("password", "privateKey", "privateKeyPassword")
# How PULUMI_COMMAND_STDOUT and _STDERR follow from the former outputs.
_PREVIOUS: Final = {"stdout": "PULUMI_COMMAND_STDOUT", "stderr": "PULUMI_COMMAND_STDERR"}

Failures = list[tuple[str, str]]


class CommandPlugin(Plugin):
    """Serves both kinds of commands."""

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
        if kind not in _INPUTS:
            await refuse(context, f"{kind}: the stand-in for the command plugin has only {LOCAL} and {REMOTE}")
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
        name = request.urn.rsplit("::", 1)[-1]
        identity = f"{name}{secrets.token_hex(4)}"
        if request.preview:
            state = {**inputs, "stdout": UNKNOWN, "stderr": UNKNOWN}
        else:
            state = await self._run(request.urn, "create", inputs, {}, timeout=request.timeout, context=context)
        return provider_pb2.CreateResponse(id=identity, properties=to_struct(state))

    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:
        olds = from_struct(request.olds)
        inputs = _ignoring(from_struct(request.news), olds, list(request.ignoreChanges))
        if request.preview:
            # The outputs may change with any input that they could be computed from.
            known = all(is_known(value) for value in inputs.values())
            was = {key: olds[key] for key in _INPUTS[_kind(request.urn)] if key in olds}
            stale = not known or changes(was, {key: inputs.get(key) for key in was})
            outputs = {key: UNKNOWN if stale else olds.get(key, "") for key in _PREVIOUS}
            state = {**inputs, **outputs}
        else:
            action = "update" if inputs.get("update") is not None else "create"
            state = await self._run(request.urn, action, inputs, olds, timeout=request.timeout, context=context)
        return provider_pb2.UpdateResponse(properties=to_struct(state))

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        olds = from_struct(request.properties)
        await self._run(request.urn, "delete", olds, olds, timeout=request.timeout, context=context)
        return empty_pb2.Empty()

    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:
        # There is nothing to read: what a command made is known to the command alone.
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

        async def show(line: str) -> None:
            await self.log.write("info", line, urn, status=True)

        async def warn(line: str) -> None:
            await self.log.write("warning", line, urn)

        output = Output(show, known.get("logging"))
        previous: dict[str, str] = {}
        if known.get("addPreviousOutputInEnv") is not False:
            previous = {name: plain(olds[key]) for key, name in _PREVIOUS.items() if plain(olds.get(key))}
        end = asyncio.get_running_loop().time() + timeout if timeout else None
        try:
            if _kind(urn) == LOCAL:
                await self.running.run(local.run(command, known, previous, output), timeout, action)
            else:
                await ssh.run(
                    command,
                    known,
                    previous,
                    output,
                    pause=lambda seconds: self.running.pause(seconds, end, action),
                    status=show,
                    warn=warn,
                )
        except PluginError as error:
            await refuse(context, str(error))
        return {**state, "stdout": output.text("stdout"), "stderr": output.text("stderr")}


def check(kind: str, given: Properties) -> tuple[Properties, Failures]:
    """Complete the inputs of one command with defaults and secret marks.

    Returns:
        The inputs, and what is wrong with them: pairs of property path and reason.
    """
    inputs = {key: value for key, value in given.items() if not key.startswith("__")}
    failures: Failures = []
    for key in sorted(_UNSUPPORTED & inputs.keys()):
        failures.append((key, "not supported by the stand-in for the command plugin"))
        del inputs[key]
    _check_types(inputs, _INPUTS[kind], "", failures)
    logging = plain(inputs.get("logging"))
    if isinstance(logging, str) and is_known(logging) and logging not in LOGGING:
        failures.append(("logging", f'"{logging}" is not one of {", ".join(LOGGING)}'))
    if kind == REMOTE:
        if inputs.get("connection") is None:
            failures.append(("connection", "missing required property"))
        else:
            connection = _with_connection_defaults(inputs["connection"], "connection", failures)
            inputs["connection"] = as_secret(connection)
    return inputs, failures


def _with_connection_defaults(given: Value, path: str, failures: Failures) -> Value:
    settings = given.value if isinstance(given, Secret) else given
    if not isinstance(settings, dict):
        return settings
    allowed = {key: types for key, types in _CONNECTION.items() if path == "connection" or key != "proxy"}
    _check_types(settings, allowed, path, failures)
    if settings.get("host") is None:
        failures.append((f"{path}.host", "missing required property"))
    complete = {**_CONNECTION_DEFAULTS, **{key: value for key, value in settings.items() if value is not None}}
    for key in _CONNECTION_SECRETS:
        if key in complete:
            complete[key] = as_secret(complete[key])
    if "proxy" in complete:
        proxy = _with_connection_defaults(complete["proxy"], f"{path}.proxy", failures)
        complete["proxy"] = Secret(proxy) if isinstance(complete["proxy"], Secret) else proxy
    return complete


def _check_types(given: Properties, allowed: dict[str, tuple[type, ...]], path: str, failures: Failures) -> None:
    for key, value in given.items():
        where = f"{path}.{key}" if path else key
        bare = value.value if isinstance(value, Secret) else value
        if key not in allowed:
            failures.append((where, f"no such property; there are {', '.join(sorted(allowed))}"))
        elif bare is not None and bare is not UNKNOWN and not isinstance(bare, allowed[key]):
            failures.append((where, f"is a {type(bare).__name__}, and not a {allowed[key][-1].__name__}"))


def _ignoring(news: Properties, olds: Properties, ignored: list[str]) -> Properties:
    return {**news, **{key: olds[key] for key in ignored if key in olds}}


def _kind(urn: str) -> str:
    """The resource's type out of its URN (the last of the qualified types)."""
    return urn.split("::")[2].rsplit("$", 1)[-1]
