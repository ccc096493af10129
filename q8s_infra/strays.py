"""Where stack and cloud differ: what a killed run made and the stack does not know, and what is gone behind its back.

The first is an instance or a port in the way of the next run. Pulumi notes a resource when the cloud has answered; a
run that is killed before that leaves it behind. Such are an instance that says it is of the stack's own security
group, and a free port in that group, both named as the stack names its nodes. Names and keypairs alone tell nothing:
another member of the project may have a cluster of that name.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import pulumi

INSTANCE: Final = "openstack:compute/instance:Instance"
PORT: Final = "openstack:networking/port:Port"
GROUP: Final = "openstack:networking/secGroup:SecGroup"
_NONE_LEFT: Final = """
No control plane is left, so that makes another cluster, and every worker anew for it. With a snapshot, make this one
again instead:
  python -m q8s_infra restore FILE --stack STACK"""
OWNER: Final = "q8s-group"
"""Key of an instance's metadata: the id of its cluster's security group."""


@dataclass(frozen=True)
class Server:
    """An instance of the project: its id, its name, and the security group that it says it is of."""

    id: str
    name: str
    owner: str


@dataclass(frozen=True)
class Port:
    """A port of the project: its id, its name, its security groups' ids, and whether nothing uses it."""

    id: str
    name: str
    groups: frozenset[str]
    free: bool


@dataclass(frozen=True)
class Stray:
    """Something that the cloud has and the stack does not know."""

    kind: Literal["instance", "port"]
    id: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.id}): a run that was killed made it"


class Cloud(Protocol):
    """What can be asked and done; tests give one of their own."""

    def all_servers(self) -> Iterable[Server]:
        """All instances of the project."""
        ...

    def ports(self) -> Iterable[Port]:
        """All ports of the project."""
        ...

    def delete(self, kind: Literal["instance", "port"], identity: str) -> None:
        """Delete it, and wait until it is gone."""
        ...


def known(deployment: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Types and outputs of the resources in an exported state, by their URNs."""
    return {
        resource["urn"]: {"type": resource["type"], "outputs": resource.get("outputs", {})}
        for resource in deployment.get("resources", [])
        if not resource.get("delete")
    }


def ids(outputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, frozenset[str]]:
    """The ids in the outputs of a stack's resources, by types of resources."""
    found: dict[str, set[str]] = {}
    for resource in outputs.values():
        if identity := resource["outputs"].get("id"):
            found.setdefault(resource["type"], set()).add(str(identity))
    return {kind: frozenset(each) for kind, each in found.items()}


def strays(cluster: str, known: Mapping[str, frozenset[str]], cloud: Cloud) -> tuple[Stray, ...]:
    """What the cloud has of a stack and the stack does not know, instances first.

    Args:
        cluster: its name, which all names of its resources begin with.
        known: ids by types of resources, see :func:`ids`.
        cloud: what there is.
    """
    groups = known.get(GROUP, frozenset())
    instances = [
        Stray("instance", server.id, server.name)
        for server in cloud.all_servers()
        if server.name.startswith(f"{cluster}-")
        and server.owner in groups
        and server.id not in known.get(INSTANCE, frozenset())
    ]
    ports = [
        Stray("port", port.id, port.name)
        for port in cloud.ports()
        if port.name.startswith(f"{cluster}-")
        and port.free
        and port.groups & groups
        and port.id not in known.get(PORT, frozenset())
    ]
    return (*instances, *ports)


@dataclass(frozen=True)
class Lost:
    """An instance that the stack knows and the cloud has no more."""

    urn: str
    id: str
    name: str


def lost(resources: Mapping[str, Mapping[str, Any]], cloud: Cloud) -> tuple[Lost, ...]:
    """The instances that the stack knows and the cloud has no more.

    Args:
        resources: types and outputs of the stack's resources by their URNs.
        cloud: what there is.
    """
    known = [
        Lost(urn, str(resource["outputs"]["id"]), str(resource["outputs"].get("name")))
        for urn, resource in resources.items()
        if resource["type"] == INSTANCE and resource["outputs"].get("id")
    ]
    there = {server.id for server in cloud.all_servers()} if known else set()
    return tuple(instance for instance in known if instance.id not in there)


def how_to_forget(instances: Iterable[Lost], control_planes: Iterable[str]) -> str:
    """What to tell of lost instances, with the command by which the next run makes them anew.

    Not a refresh of everything: it would ask a Kubernetes API that may be gone with the first control plane.

    Args:
        instances: the lost ones.
        control_planes: names of all control planes.
    """
    found = list(instances)
    last = set(control_planes) <= {each.name for each in found}
    command = ["pulumi", "refresh", "--yes", *(word for each in found for word in ("--target", each.urn))]
    return (
        "instances of this stack are gone from OpenStack; nothing was changed\n"
        + "".join(f"  {each.name} ({each.id})\n" for each in found)
        + "let the stack forget them, and pulumi up makes them anew:\n"
        + f"  {shlex.join(command)}"
        + (_NONE_LEFT if last else "")
    )


def remove(found: Iterable[Stray], cloud: Cloud) -> None:
    """Delete strays, and say so."""
    for stray in found:
        pulumi.log.info(f"{stray}: deleting it")
        cloud.delete(stray.kind, stray.id)
