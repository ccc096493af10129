"""Any typed object of an API server as a resource.

The behaviour is that of pulumi-kubernetes 4.34 in its server-side apply mode, with these differences: readiness is
told from the object alone (no events, no pod logs), a Service is ready at once, previews do not ask the API server,
and Helm, YAML and Patch resources are refused.
"""
# ruff: noqa: N802, D102, ARG002  the names and arguments of the protocol's methods

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2

from lab.pulumi.kubernetes import readiness, settings
from lab.pulumi.kubernetes.cluster import Cluster, Kind, NotServedError, Object, active_cluster
from lab.pulumi.kubernetes.cluster import parse_kubeconfig as parse
from lab.pulumi.kubernetes.objects import (
    INITIAL_VERSION,
    MANAGER,
    identity_of,
    imported,
    parts_of,
    projected,
    state_of,
    time_limit,
    with_secrets,
)
from lab.pulumi.kubernetes.rules import (
    PATCH_FORCE,
    PROPAGATION,
    SKIP_AWAIT,
    Rules,
    annotation,
    bare,
    checked,
    is_autonamed,
)
from lab.pulumi.plugin import (
    Context,
    EngineLog,
    InitializationError,
    Plugin,
    PluginError,
    detailed_diff,
    refuse,
    refuse_partial,
)
from lab.pulumi.wire import Properties, changes, from_struct, is_known, plain, to_struct
from lab.versions import PULUMI_KUBERNETES

if TYPE_CHECKING:
    from collections.abc import Coroutine

_READY_SECONDS: Final = 600.0
_DELETED_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.5
_SLOW_POLL_SECONDS: Final = 2.0
_LOOKUPS: Final = 5
_T = TypeVar("_T")
_FORGETTABLE: Final = (
    "configured Kubernetes cluster is unreachable. If the cluster was deleted, you can remove this resource from "
    'Pulumi state by rerunning the operation with the PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
)
_REFUSED_KINDS: Final = ("kubernetes:helm.sh/", "kubernetes:yaml", "kubernetes:kustomize")


class KubernetesPlugin(Plugin):
    """Serves every kind that the API server serves."""

    name = "kubernetes"
    version = PULUMI_KUBERNETES

    def __init__(self, log: EngineLog) -> None:
        super().__init__(log)
        self._settings = settings.Settings()
        self._rules = Rules(config_map_mutable=False, secret_mutable=False)
        self._cluster: Cluster | None = None
        self._namespace = "default"
        self._unreachable = "the provider has no kubeconfig"

    async def CheckConfig(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(
            inputs=request.news, failures=_failures(settings.check(from_struct(request.news)))
        )

    async def DiffConfig(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        try:
            changed, replaced = settings.replacements(from_struct(request.olds), from_struct(request.news))
        except PluginError as error:
            await refuse(context, str(error))
        return detailed_diff(changed, lambda path: path in replaced)

    async def Configure(
        self, request: provider_pb2.ConfigureRequest, context: Context
    ) -> provider_pb2.ConfigureResponse:
        given = from_struct(request.args) or dict(request.variables)
        await self._configure(settings.Settings.read(given))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        token = request.urn.split("::")[2].rsplit("$", 1)[-1]
        kind = token.rsplit(":", 1)[-1]
        if token.startswith(_REFUSED_KINDS) or kind.endswith(("Patch", "List")):
            await refuse(context, f"{token}: not supported by the stand-in for the kubernetes plugin")
        olds, news = from_struct(request.olds), from_struct(request.news)
        if self._cluster is None and self._settings.skip_update_unreachable:
            await self.log.write("warning", f"{self._unreachable}; skipUpdateUnreachable is set", request.urn)
            return provider_pb2.CheckResponse(inputs=request.olds)
        inputs, failures = checked(request.urn.rsplit("::", 1)[-1], olds, news)
        metadata = inputs.get("metadata")
        if isinstance(metadata, dict) and metadata.get("namespace") is None and await self._is_namespaced(inputs):
            metadata["namespace"] = self._namespace
        return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=_failures(failures))

    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        old, new = from_struct(request.old_inputs), from_struct(request.news)
        for key in request.ignoreChanges:
            if key in old:
                new[key] = old[key]
        response = detailed_diff(changes(plain(old), plain(new)), lambda path: self._rules.replaces(path, new))
        if response.replaces and not is_autonamed(new):
            response.deleteBeforeReplace = identity_of(old) == identity_of(new)
        return response

    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:
        inputs = from_struct(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(properties=to_struct(inputs))
        manager = f"pulumi-kubernetes-{secrets.token_hex(4)}"
        state = await self._do(context, self._create(request.urn, inputs, manager, request.timeout), "create")
        return provider_pb2.CreateResponse(id=identity_of(state), properties=to_struct(state))

    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:
        olds, inputs = from_struct(request.olds), from_struct(request.news)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=to_struct({**olds, **inputs}))
        manager = str(plain(olds.get(MANAGER)) or f"pulumi-kubernetes-{secrets.token_hex(4)}")
        work = self._apply(request.urn, inputs, manager, request.timeout)
        state = await self._do(context, work, "update")
        return provider_pb2.UpdateResponse(properties=to_struct(state))

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        olds = from_struct(request.properties)
        if self._cluster is None:
            await self._warn_unreachable(request.urn)
            if not self._settings.delete_unreachable:
                await refuse(context, _FORGETTABLE)
            return empty_pb2.Empty()
        await self._do(context, self._delete(request.urn, request.id, olds, request.timeout), "delete")
        return empty_pb2.Empty()

    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:
        state, inputs = from_struct(request.properties), from_struct(request.inputs)
        if self._cluster is None:
            await self._warn_unreachable(request.urn)
            if self._settings.delete_unreachable:
                return provider_pb2.ReadResponse()
            if not self._settings.skip_update_unreachable:
                await refuse(context, _FORGETTABLE)
            return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
        live = await self._do(context, self._read(request.urn, request.id, state or inputs), "read")
        if live is None:
            return provider_pb2.ReadResponse()
        kept = {key: state[key] for key in (MANAGER, INITIAL_VERSION) if key in state}
        seen = projected(inputs, live) if inputs else imported(live)
        return provider_pb2.ReadResponse(
            id=request.id, properties=to_struct(with_secrets({**live, **kept}, inputs)), inputs=to_struct(seen)
        )

    async def _configure(self, given: settings.Settings) -> None:
        self._settings = given
        self._rules = Rules(config_map_mutable=given.config_map_mutable, secret_mutable=given.secret_mutable)
        if not given.kubeconfig:
            return
        # What a cluster is not needed for works without one, so nothing that is wrong with it ends the update here.
        try:
            kubeconfig = parse(given.kubeconfig)
            self._namespace = given.namespace or active_cluster(kubeconfig, given.context, given.cluster)[1]
            if given.cluster:
                _use_cluster(kubeconfig, given.context, given.cluster)
            cluster = Cluster(kubeconfig, given.context)
            await cluster.ping()
        except PluginError as error:
            self._unreachable = str(error)
        else:
            self._cluster = cluster

    async def _warn_unreachable(self, urn: str) -> None:
        message = f"configured Kubernetes cluster is unreachable: {self._unreachable}"
        await self.log.write("warning", message, urn)

    def _reachable(self) -> Cluster:
        if self._cluster is None:
            raise PluginError(f"configured Kubernetes cluster is unreachable: {self._unreachable}")
        return self._cluster

    async def _do(self, context: Context, work: Coroutine[Any, Any, _T], what: str) -> _T:
        """Run one request, and tell the engine what went wrong with it."""
        try:
            # Awaiting has its own time limits, by which the object can still be kept.
            return await self.running.run(work, 0, what)
        except InitializationError as error:
            await refuse_partial(context, error)
        except PluginError as error:
            await refuse(context, str(error))

    async def _is_namespaced(self, inputs: Properties) -> bool:
        if self._cluster is None or not is_known([inputs.get("apiVersion"), inputs.get("kind")]):
            return False
        try:
            return (await self._cluster.kind(str(inputs["apiVersion"]), str(inputs["kind"]))).namespaced
        except NotServedError:
            # Its definition may be about to be created; most custom kinds are namespaced.
            return True
        except PluginError:
            return False

    async def _kind(self, urn: str, api_version: str, kind: str) -> Kind:
        """Look a kind up, with patience for one whose definition was created a moment ago."""
        delay = 1.0
        for left in range(_LOOKUPS, 0, -1):
            try:
                return await self._reachable().kind(api_version, kind)
            except NotServedError as error:
                if left == 1:
                    raise
                await self.log.write("info", f"{error}; retrying", urn, status=True)
            await asyncio.sleep(delay)
            delay *= 2
        raise AssertionError

    async def _create(self, urn: str, inputs: Properties, manager: str, timeout: float) -> Properties:
        self._reachable()
        body: Object = plain(inputs)
        kind = await self._kind(urn, body["apiVersion"], body["kind"])
        if not self._settings.upsert:
            metadata = body["metadata"]
            if await self._reachable().get(kind, metadata["name"], metadata.get("namespace")) is not None:
                raise PluginError(
                    f'{kind.plural} "{metadata["name"]}" already exists. It was not made by this resource; import it, '
                    "or set upsertExistingObjects on the provider to take it over."
                )
        return await self._apply(urn, inputs, manager, timeout)

    async def _apply(self, urn: str, inputs: Properties, manager: str, timeout: float) -> Properties:
        self._reachable()
        body: Object = plain(inputs)
        kind = await self._kind(urn, body["apiVersion"], body["kind"])
        if not kind.namespaced:
            body = {**body, "metadata": {key: value for key, value in body["metadata"].items() if key != "namespace"}}
        force = self._settings.patch_force or annotation(inputs, PATCH_FORCE) == "true"
        live = await self._reachable().apply(kind, body, manager, force=force)
        if annotation(inputs, SKIP_AWAIT) != "true":
            live, missing = await self._ready(urn, kind, live, time_limit(inputs, timeout, _READY_SECONDS))
        else:
            missing = None
        state = state_of(live, inputs, manager)
        if missing:
            raise InitializationError(
                identity_of(state),
                state,
                inputs,
                f"{kind.kind} {identity_of(state)} is not ready: waited for {missing}",
            )
        return state

    async def _ready(self, urn: str, kind: Kind, live: Object, limit: float) -> tuple[Object, str | None]:
        """Wait until an object is ready; returns it as it is then, and what it waits for when the time is up."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        told = ""
        while missing := readiness.waiting_for(live):
            if missing != told:
                await self.log.write("info", f"waiting for {missing}", urn, status=True)
                told = missing
            if loop.time() - started > limit or "failed" in missing:
                return live, missing
            await asyncio.sleep(_POLL_SECONDS if loop.time() - started < 30 else _SLOW_POLL_SECONDS)  # noqa: PLR2004
            metadata = live["metadata"]
            fresh = await self._reachable().get(kind, metadata["name"], metadata.get("namespace"))
            if fresh is None:
                raise PluginError(f"{kind.kind} {metadata['name']} was deleted while it was awaited")
            live = fresh
        return live, None

    async def _delete(self, urn: str, identity: str, olds: Properties, timeout: float) -> None:
        namespace, name = parts_of(identity)
        try:
            kind = await self._reachable().kind(str(plain(olds["apiVersion"])), str(plain(olds["kind"])))
        except NotServedError:
            # Its definition is gone, and with it all its objects.
            return
        propagation = annotation(olds, PROPAGATION) or "foreground"
        policy = {"orphan": "Orphan", "background": "Background"}.get(propagation.lower(), "Foreground")
        if not await self._reachable().delete(kind, name, namespace, policy):
            return
        if annotation(olds, SKIP_AWAIT) == "true":
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + time_limit(olds, timeout, _DELETED_SECONDS)
        while (live := await self._reachable().get(kind, name, namespace)) is not None:
            # Another object of that name is somebody else's.
            if live["metadata"].get("uid") != (plain(bare(olds.get("metadata"))) or {}).get("uid"):
                return
            if loop.time() > end:
                held = ", ".join(live["metadata"].get("finalizers") or ["nothing that it says"])
                raise PluginError(f"{kind.kind} {identity} is still there; it is held by {held}")
            await self.log.write("info", "waiting for the object to be gone", urn, status=True)
            await asyncio.sleep(_POLL_SECONDS)

    async def _read(self, urn: str, identity: str, known: Properties) -> Object | None:
        namespace, name = parts_of(identity)
        token = urn.split("::")[2].rsplit("$", 1)[-1]
        _, group_version, kind = token.split(":")
        api_version = str(plain(known.get("apiVersion")) or group_version.removeprefix("core/"))
        try:
            served = await self._reachable().kind(api_version, str(plain(known.get("kind")) or kind))
        except NotServedError:
            return None
        return await self._reachable().get(served, name, namespace)


def _failures(found: list[tuple[str, str]]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(property=path, reason=reason) for path, reason in found]


def _use_cluster(kubeconfig: Object, context: str | None, cluster: str) -> None:
    """Point the active context at another cluster entry."""
    wanted = context or kubeconfig.get("current-context")
    for item in kubeconfig.get("contexts") or []:
        if item["name"] == wanted:
            item["context"]["cluster"] = cluster
