"""From configuration to a spec, with all mistakes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError, create_model

from q8s_infra import prototype
from q8s_infra.spec.addresses import Addresses
from q8s_infra.spec.cluster import ClusterSpec, Kubernetes, Network, of_no_type
from q8s_infra.spec.errors import Mistake, SpecErrors
from q8s_infra.spec.nodes import ControlPlanes
from q8s_infra.spec.types import Model

_ENCRYPTED: Final = "http://encrypted:1"
"""Stands for a proxy whose URL only Pulumi can read, where nothing is to be made with it."""
_WORDS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is no field",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "tuple_type": "must be a list",
}


def load(config: Mapping[str, Any], stack: str, *, base: Path = Path()) -> ClusterSpec:
    """The spec that a stack's configuration describes.

    Args:
        config: ``cluster`` (our format) or ``clusterFile`` (path of a prototype's file, with ``cluster`` laid over it).
        stack: the stack's name, also the cluster's unless it says otherwise.
        base: where a relative ``clusterFile`` starts.

    Raises:
        SpecErrors: everything that is wrong with it.
    """
    cluster, file = config.get("cluster"), config.get("clusterFile")
    if cluster is None and file is None:
        raise SpecErrors([Mistake("q8s:cluster", None, "describe the cluster here, or name a file in q8s:clusterFile")])
    if cluster is not None and not isinstance(cluster, Mapping):
        raise SpecErrors([Mistake("q8s:cluster", cluster, "must be a mapping")])
    described: dict[str, Any] = dict(cluster or {})
    if file is not None:
        described = merged(prototype.read(base / str(file)), described)
    described.setdefault("name", stack)
    return validated(described)


def validated(described: Mapping[str, Any]) -> ClusterSpec:
    """A spec from a description in our format.

    Raises:
        SpecErrors: everything that is wrong with it.
    """
    try:
        return ClusterSpec.model_validate(described)
    except ValidationError as error:
        mistakes = [mistake for each in error.errors() for mistake in _mistakes(each)]
        # The whole is not checked where a part of it is wrong: its types' names are, and its addresses, by the fields
        # that are right.
        whole = [_split("", each) for each in (*_of_no_type(described), *_addresses(described).mistakes())]
        raise SpecErrors([*mistakes, *(each for each in whole if each not in mistakes)]) from None


def read(path: Path) -> dict[str, Any]:
    """The configuration in a file: a stack's (``Pulumi.*.yaml``), a plain description, or a prototype's.

    Raises:
        SpecErrors: the file can't be read or is no YAML mapping.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise SpecErrors([Mistake(str(path), None, f"cannot be read: {error.strerror}")]) from None
    if prototype.is_prototype(text):
        return {"clusterFile": str(path.resolve())}
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecErrors([Mistake(str(path), None, f"is no valid YAML: {error}")]) from None
    if not isinstance(content, dict):
        raise SpecErrors([Mistake(str(path), content, "must be a mapping")])
    if "config" in content or "encryptionsalt" in content:
        config = content.get("config") or {}
        return {"cluster": _without_secrets(config.get("q8s:cluster")), "clusterFile": config.get("q8s:clusterFile")}
    return {"cluster": content}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two descriptions in one: mappings field by field, anything else from above."""
    result = dict(below)
    for key, value in above.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result


def _without_secrets(cluster: Any) -> Any:
    """A description with something in place of proxies that Pulumi has encrypted in its file."""
    proxy = cluster.get("proxy") if isinstance(cluster, Mapping) else None
    if not isinstance(proxy, Mapping):
        return cluster
    encrypted = {name: _ENCRYPTED for name, value in proxy.items() if isinstance(value, Mapping) and "secure" in value}
    return {**cluster, "proxy": {**proxy, **encrypted}}


def _of_no_type(described: Mapping[str, Any]) -> list[str]:
    workers, types = described.get("workers", {}), described.get("nodeTypes", {})
    if not isinstance(workers, Mapping) or not isinstance(types, Mapping):
        return []
    return of_no_type([str(name) for name in workers], [str(name) for name in types])


def _addresses(described: Mapping[str, Any]) -> Addresses:
    kubernetes = described.get("kubernetes", {})
    return Addresses(
        pod_cidr=_right(Kubernetes, kubernetes, "pod_cidr"),
        node_cidr_mask_size=_right(Kubernetes, kubernetes, "node_cidr_mask_size"),
        service_cidr=_right(Kubernetes, kubernetes, "service_cidr"),
        network_cidr=_right(Network, described.get("network"), "cidr"),
        control_planes=_right(ControlPlanes, described.get("controlPlanes"), "count"),
        workers=_right(ClusterSpec, described, "workers"),
    )


def _right(model: type[Model], given: Any, name: str) -> Any:
    """A field of a model that may be wrong elsewhere: its value or default, or None where it is wrong itself."""
    if not isinstance(given, Mapping):
        return None
    field = model.model_fields[name]
    fields: dict[str, Any] = {name: (field.annotation, field)}
    alone = create_model(model.__name__, __base__=Model, **fields)
    try:
        return getattr(alone.model_validate({key: given[key] for key in (name, field.alias) if key in given}), name)
    except ValidationError:
        return None


def _mistakes(error: Any) -> list[Mistake]:
    path = ".".join(str(part) for part in error["loc"] if part not in ("[key]",))
    message = _WORDS.get(error["type"], error["msg"].removeprefix("Value error, "))
    told = error["type"] != "missing" and not isinstance(error["input"], Mapping) and not _is_secret(error["loc"])
    given = error["input"] if told else None
    if error["type"] == "value_error" and _is_collected(error["msg"]):
        return [_split(path, part) for part in message.split("; ")]
    return [Mistake(path or "q8s:cluster", given, message)]


def _is_secret(place: Sequence[object]) -> bool:
    """A proxy may have a password in it, wherever in its part of the description it was written by mistake."""
    return place[:1] == ("proxy",) and "noProxy" not in place


def _is_collected(message: str) -> bool:
    """A model's own check lists its mistakes with their fields, joined by semicolons."""
    return ": " in message


def _split(path: str, part: str) -> Mistake:
    field, _, allowed = part.partition(": ")
    return Mistake(f"{path}.{field}" if path else field, None, allowed)
