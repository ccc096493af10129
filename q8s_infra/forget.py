"""Remove hosts that no longer exist from a stack's state, so that the next ``pulumi up`` creates them again.

``pulumi refresh`` does the same to an instance, but clears ``deletedWith`` of the steps on it: their deletion would
then log in to a host that does not exist. Here these steps lose their deletion with their host. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from q8s_infra.state.model import COMMAND, COPY, INSTANCE

_REFERENCES: Final = ("parent", "deletedWith", "provider")


class StillThere(Exception):
    """A host that exists can't be forgotten; the message names it."""


def forgotten(deployment: Mapping[str, Any], names: Iterable[str], there: Iterable[str]) -> dict[str, Any]:
    """A deployment without the instances of some hosts, and without the deletion of steps that ran on these.

    Args:
        deployment: as exported.
        names: hosts; those whose instance is no longer in the state are allowed, too.
        there: ids of the project's instances.

    Raises:
        StillThere: a host's instance exists, or the state never had such a host.
    """
    resources, wanted, alive = list(deployment.get("resources") or ()), frozenset(names), frozenset(there)
    scripts = {_name(each).removesuffix("-scripts"): each["urn"] for each in resources if each["type"] == COPY}
    instances = [each for each in resources if each["type"] == INSTANCE and _name(each) in wanted]
    for name in sorted(wanted - {_name(each) for each in instances} - scripts.keys()):
        raise StillThere(f"{name}: the stack's state has no host of this name, only {', '.join(sorted(scripts))}")
    for each in instances:
        if each.get("id") in alive and not each.get("pendingReplacement"):
            raise StillThere(
                f"{_name(each)}: its instance {each['id']} exists. To give it up: openstack server delete {each['id']}"
            )
    gone = {each["urn"] for each in instances}
    ran_there = {scripts[name] for name in wanted & scripts.keys()}
    # Workers leave the cluster by a step on its first control plane. While another one is there, that comes back.
    planes = {_name(each).rpartition("-")[0] for each in resources if _name(each).endswith(("-init", "-join"))}
    ended = "" if planes <= wanted else tuple(f"{name}-" for name in sorted(wanted))
    kept = [_without(each, gone, ran_there, ended) for each in resources if each["urn"] not in gone]
    operations = [each for each in deployment.get("pending_operations") or () if each["resource"]["urn"] not in gone]
    rest = {name: value for name, value in deployment.items() if name != "pending_operations"}
    return {**rest, "resources": kept, **({"pending_operations": operations} if operations else {})}


def _without(
    resource: Mapping[str, Any], gone: set[str], ran_there: set[str], ended: str | tuple[str, ...]
) -> dict[str, Any]:
    """A resource that refers to none that are gone, and has no deletion where its host is gone.

    Args:
        resource: the resource.
        gone: URNs of the instances.
        ran_there: URNs of the copies of scripts that steps on these hosts depend on.
        ended: how the names of such steps begin that lose their deletion; all of them where it is empty.
    """
    changed = dict(resource)
    for name in _REFERENCES:
        if changed.get(name) in gone:
            del changed[name]
    if "dependencies" in changed:
        changed["dependencies"] = [urn for urn in changed["dependencies"] if urn not in gone]
    if "propertyDependencies" in changed:
        known = changed["propertyDependencies"] or {}
        changed["propertyDependencies"] = {
            name: [urn for urn in urns or () if urn not in gone] for name, urns in known.items()
        }
    there = resource["type"] == COMMAND and ran_there & set(resource.get("dependencies") or ())
    if there and _name(resource).startswith(ended):
        for part in ("inputs", "outputs"):
            changed[part] = {name: value for name, value in (resource.get(part) or {}).items() if name != "delete"}
    return changed


def _name(resource: Mapping[str, Any]) -> str:
    return str(resource["urn"]).rpartition("::")[2]
