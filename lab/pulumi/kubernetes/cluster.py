"""One Kubernetes API server: where it is, what it serves, and the few requests that a provider makes."""

from __future__ import annotations

import asyncio
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import urllib3
import yaml
from kubernetes.client import Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import ConfigException, load_kube_config_from_dict

from lab.pulumi.plugin import PluginError

_THREADS: Final = 64
# As long as the original's client (client-go's dialer) waits for a host that says nothing.
_CONNECT_SECONDS: Final = 30.0
_READ_SECONDS: Final = 60.0
_APPLY: Final = "application/apply-patch+yaml"
_SUCCESS: Final = 200
_REDIRECT: Final = 300
_NOT_FOUND: Final = 404

Object = dict[str, Any]


class UnreachableError(PluginError):
    """Nobody answers at the API server's address."""


class NotServedError(PluginError):
    """The API server has no such kind (yet)."""


class RefusedError(PluginError):
    """The API server answered with an error.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Kind:
    """A kind as the API server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, name: str, namespace: str | None) -> str:
        """The URL path of one object."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        place = f"/namespaces/{quote(namespace or 'default')}" if self.namespaced else ""
        return f"{root}{place}/{self.plural}/{quote(name)}"


def parse_kubeconfig(text: str) -> Object:
    """Read a kubeconfig, given as its contents or as a path.

    Raises:
        PluginError: it is neither.
    """
    if "\n" not in text and not text.lstrip().startswith("{") and Path(text).expanduser().is_file():
        text = Path(text).expanduser().read_text()
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PluginError(f"failed to parse kubeconfig: {error}") from error
    if not isinstance(parsed, dict):
        raise PluginError("failed to parse kubeconfig: neither the contents of one nor a path to one")
    return parsed


def active_cluster(kubeconfig: Object, context: str | None, cluster: str | None) -> tuple[Object | None, str]:
    """The cluster entry that a kubeconfig points at, and the namespace of its context ("default" if it names none)."""
    wanted = context or kubeconfig.get("current-context")
    contexts = {item["name"]: item.get("context") or {} for item in kubeconfig.get("contexts") or []}
    chosen = contexts.get(wanted) or {}
    clusters = {item["name"]: item.get("cluster") or {} for item in kubeconfig.get("clusters") or []}
    return clusters.get(cluster or chosen.get("cluster")), chosen.get("namespace") or "default"


class Cluster:
    """A client of one API server.

    Args:
        kubeconfig: parsed kubeconfig.
        context: name of the context; None takes the current one.

    Raises:
        PluginError: the kubeconfig has no such context or lacks something.
    """

    def __init__(self, kubeconfig: Object, context: str | None) -> None:
        # The client library wants certificates as files; they go with this directory.
        self._files = tempfile.TemporaryDirectory(prefix="q8s-kubernetes-")
        configuration = Configuration()
        try:
            load_kube_config_from_dict(  # type: ignore[no-untyped-call]
                kubeconfig,
                context=context,
                client_configuration=configuration,
                persist_config=False,
                temp_file_path=self._files.name,
            )
        except ConfigException as error:
            raise PluginError(f"kubeconfig: {error}") from error
        configuration.connection_pool_maxsize = _THREADS
        configuration.retries = False
        self._configuration = configuration
        self._rest = RESTClientObject(configuration)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kubernetes")
        self._kinds: dict[tuple[str, str], Kind] = {}

    async def ping(self) -> None:
        """Ask for something that only who is known to the server may see.

        Raises:
            UnreachableError: nobody answered.
            RefusedError: the kubeconfig's user may not even ask.
        """
        await self.request("GET", "/api")

    async def kind(self, api_version: str, kind: str) -> Kind:
        """Look up how a kind is served.

        Raises:
            NotServedError: it is not.
        """
        key = (api_version, kind)
        if key not in self._kinds:
            root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            try:
                found = await self.request("GET", root)
            except RefusedError as error:
                if error.status != _NOT_FOUND:
                    raise
                found = {}
            for item in found.get("resources") or []:
                if "/" not in item["name"]:
                    served = Kind(api_version, item["kind"], item["name"], bool(item["namespaced"]))
                    self._kinds[api_version, item["kind"]] = served
        if key not in self._kinds:
            raise NotServedError(f'no matches for kind "{kind}" in version "{api_version}"')
        return self._kinds[key]

    async def get(self, kind: Kind, name: str, namespace: str | None) -> Object | None:
        """Read one object; None when there is none."""
        try:
            return await self.request("GET", kind.path(name, namespace))
        except RefusedError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def apply(self, kind: Kind, body: Object, manager: str, *, force: bool) -> Object:
        """Server-side apply; creates the object if it is not there."""
        metadata = body["metadata"]
        query = {"fieldManager": manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        path = f"{kind.path(metadata['name'], metadata.get('namespace'))}?{urlencode(query)}"
        return await self.request("PATCH", path, json.dumps(body), _APPLY)

    async def delete(self, kind: Kind, name: str, namespace: str | None, propagation: str) -> bool:
        """Ask for an object's deletion; False when there is none."""
        try:
            await self.request("DELETE", kind.path(name, namespace), {"propagationPolicy": propagation})
        except RefusedError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
        return True

    async def request(
        self, method: str, path: str, body: Object | str | None = None, content: str = "application/json"
    ) -> Object:
        """Send one request, in a thread of its own.

        Raises:
            UnreachableError: nobody answered.
            RefusedError: an answer other than success.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._send, method, path, body, content)

    def _send(self, method: str, path: str, body: Object | str | None, content: str) -> Object:
        headers = {"Accept": "application/json", "Content-Type": content}
        if token := self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization"):
            headers["authorization"] = token
        url = self._configuration.host + path
        try:
            answer = self._rest.request(  # type: ignore[no-untyped-call]
                method, url, headers=headers, body=body, _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS)
            )
            text = answer.read()
        except ApiException as error:
            raise UnreachableError(f"{self._configuration.host}: {error.reason}") from error
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(f"{self._configuration.host}: {error}") from error
        if not _SUCCESS <= answer.status < _REDIRECT:
            raise RefusedError(answer.status, _message(text, f"{answer.status} {answer.reason}"))
        parsed: Object = json.loads(text)
        return parsed


def _message(text: bytes, otherwise: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return otherwise
