"""From configuration to a spec, with all mistakes at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError, create_model

from q8s_infra import prototype
from q8s_infra.spec.access import Access, OpenPorts, of_own_group, shut_out
from q8s_infra.spec.addresses import Addresses
from q8s_infra.spec.cluster import NO_ADDRESSES, ClusterSpec, Kubernetes, Network, of_no_type
from q8s_infra.spec.document import content_of, text_of
from q8s_infra.spec.errors import Mistake, SpecErrors
from q8s_infra.spec.names import name_mistakes
from q8s_infra.spec.nodes import ControlPlanes
from q8s_infra.spec.told import mistakes_of, split
from q8s_infra.spec.types import Model

_M = TypeVar("_M", bound=Model)
_ENCRYPTED: Final = "http://encrypted:1"
"""Stands for a proxy whose URL only Pulumi can read, where nothing is to be made with it."""


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
    described.setdefault("name", stack)
    if file is None:
        return validated(described)
    if not isinstance(file, str):
        raise SpecErrors([Mistake("q8s:clusterFile", file, "must be text, the path of a prototype's cluster.yaml")])
    found, mistakes, form = prototype.convert(prototype.read(base / file))
    try:
        spec = validated(merged(found, described))
    except SpecErrors as errors:
        theirs = [each if _stands(described, each.path) else form.named(each) for each in errors.mistakes]
        known = {each.path for each in mistakes}
        mistakes += [it for at, it in enumerate(theirs) if it.path not in known and it not in theirs[:at]]
    if mistakes:
        raise SpecErrors(mistakes)
    return spec


def validated(described: Mapping[str, Any]) -> ClusterSpec:
    """A spec from a description in our format.

    Raises:
        SpecErrors: everything that is wrong with it.
    """
    try:
        return ClusterSpec.model_validate(described)
    except ValidationError as error:
        mistakes = [mistake for each in error.errors() for mistake in mistakes_of(each)]
        # The whole is not checked where a part of it is wrong: it is here, by the parts that are right.
        whole = [split("", each) for each in _whole(described)]
        raise SpecErrors([*mistakes, *(each for each in whole if each not in mistakes)]) from None


def read(path: Path) -> dict[str, Any]:
    """The configuration in a file: a stack's (``Pulumi.*.yaml``), a plain description, or a prototype's.

    Raises:
        SpecErrors: the file can't be read or is no YAML mapping.
    """
    try:
        text = text_of(path)
        if prototype.is_prototype(text):
            return {"clusterFile": str(path.resolve())}
        content = content_of(text)
    except ValueError as error:
        raise SpecErrors([Mistake(str(path), None, str(error))]) from None
    if not isinstance(content, dict):
        raise SpecErrors([Mistake(str(path), content, "must be a mapping")])
    if "config" in content or "encryptionsalt" in content:
        config = content.get("config") or {}
        if not isinstance(config, dict):
            raise SpecErrors([Mistake("config", config, "must be a mapping")])
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
    """A description with something in place of what Pulumi has encrypted in its file: proxies, passwords."""
    if not isinstance(cluster, Mapping):
        return cluster
    result = dict(cluster)
    if isinstance(proxy := cluster.get("proxy"), Mapping):
        result["proxy"] = _replaced(proxy, _ENCRYPTED)
    sources = cluster.get("sources")
    registries = sources.get("registries") if isinstance(sources, Mapping) else None
    if isinstance(sources, Mapping) and isinstance(registries, Mapping):
        known = {name: _replaced(each, "encrypted") for name, each in registries.items()}
        result["sources"] = {**sources, "registries": known}
    return result


def _replaced(given: Any, instead: str) -> Any:
    """A mapping with this in place of each field that is encrypted."""
    if not isinstance(given, Mapping):
        return given
    encrypted = {name for name, value in given.items() if isinstance(value, Mapping) and "secure" in value}
    return {name: instead if name in encrypted else value for name, value in given.items()}


def _stands(described: Mapping[str, Any], path: str) -> bool:
    """Whether a description has a field, or something on the way to it that is no mapping."""
    name, _, rest = path.partition(".")
    below = described.get(name)
    return name in described and (not rest or not isinstance(below, Mapping) or _stands(below, rest))


def _whole(described: Mapping[str, Any]) -> Iterator[str]:
    """What does not go together, of the fields that are right by themselves."""
    workers, types = (_mapping(described, name) for name in ("workers", "nodeTypes"))
    if workers is not None and types is not None:
        yield from of_no_type([str(name) for name in workers], [str(name) for name in types])
    yield from _addresses(described).mistakes()
    planes = described.get("controlPlanes")
    cluster, count = _right(ClusterSpec, described, "name"), _right(ControlPlanes, planes, "count")
    counts = _right(ClusterSpec, described, "workers")
    if cluster is not None and count is not None and counts is not None:
        yield from name_mistakes(cluster, _right(ControlPlanes, planes, "name"), count, counts)
    proxy, network = _mapping(described, "proxy"), _mapping(described, "network")
    if proxy and network is not None and "cidr" not in network and {"http", "https"} & proxy.keys():
        yield NO_ADDRESSES
    access, ports = _part(described, "access", Access), _part(described, "openPorts", OpenPorts)
    groups = _right(ClusterSpec, described, "security_groups")
    within = _right(ClusterSpec, described, "allow_all_in_cluster_traffic")
    if access is not None and ports is not None and groups is not None:
        yield from shut_out(access, ports, groups, all_in_cluster=within is not False)
        yield from of_own_group(cluster or "", groups)


def _part(described: Mapping[str, Any], name: str, model: type[_M]) -> _M | None:
    """A part of a description; None where it is wrong itself."""
    try:
        return model.model_validate(described.get(name, {}))
    except ValidationError:
        return None


def _mapping(described: Mapping[str, Any], name: str) -> Mapping[Any, Any] | None:
    given = described.get(name, {})
    return given if isinstance(given, Mapping) else None


def _addresses(described: Mapping[str, Any]) -> Addresses:
    kubernetes = described.get("kubernetes", {})
    return Addresses(
        pod_cidr=_right(Kubernetes, kubernetes, "pod_cidr"),
        node_cidr_mask_size=_right(Kubernetes, kubernetes, "node_cidr_mask_size"),
        service_cidr=_right(Kubernetes, kubernetes, "service_cidr"),
        network_cidr=_right(Network, described.get("network"), "cidr"),
        guest_link=_right(Network, described.get("network"), "guest_link"),
        control_planes=_right(ControlPlanes, described.get("controlPlanes"), "count"),
        workers=_right(ClusterSpec, described, "workers"),
    )


def _right(model: type[Model], given: Any, name: str) -> Any:
    """A field of a model that may be wrong elsewhere: its value or default, or None where it is wrong itself."""
    if not isinstance(given, Mapping):
        return None
    alias = model.model_fields[name].alias
    try:
        return getattr(_alone(model, name).model_validate({k: given[k] for k in (name, alias) if k in given}), name)
    except ValidationError:
        return None


@cache
def _alone(model: type[Model], name: str) -> type[Model]:
    field = model.model_fields[name]
    fields: dict[str, Any] = {name: (field.annotation, field)}
    return create_model(model.__name__, __base__=Model, **fields)
