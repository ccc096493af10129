"""Sort a plan's hosts by what a run does with them: only those that it creates ask the cloud for anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from q8s_infra.cloud import Cloud, Flavor
from q8s_infra.plan import ClusterPlan, ControlPlane, Worker

Node = ControlPlane | Worker


@dataclass(frozen=True)
class Ours:
    """What the stack has made already, although it may look like somebody else's.

    Attributes:
        keypair: the key pair of the cluster's name is the stack's.
        ports: names of the nodes that have a port, whether they have an instance or not.
    """

    keypair: bool = False
    ports: frozenset[str] = frozenset()


NOTHING: Final = Ours()
_MOST_NAMES: Final = 10


@dataclass(frozen=True)
class Hosts:
    """The hosts of a plan, and the flavors that they have or had.

    Attributes:
        plan: all of them.
        missing: those without an instance.
        replaced: those whose instance is deleted first and then created again, on the port that it had.
        former: names of the flavors that replaced hosts have now, by the hosts' names.
        flavors: by name; None where the cloud has none of this name.
        ours: what the stack has made already.
    """

    plan: ClusterPlan
    missing: tuple[Node, ...]
    replaced: tuple[Node, ...]
    former: Mapping[str, str]
    flavors: Mapping[str, Flavor | None]
    ours: Ours = NOTHING

    @property
    def without_port(self) -> int:
        """How many of them need a port, and an address, too."""
        return sum(node.name not in self.ours.ports for node in self.missing)

    @property
    def created(self) -> tuple[Node, ...]:
        """All whose instance this run creates."""
        return (*self.missing, *self.replaced)

    @property
    def is_new_cluster(self) -> bool:
        """True where no host of the cluster exists."""
        return len(self.missing) == len(self.plan.nodes)

    def kinds(self) -> dict[str, Node]:
        """A host of each kind that is created, by the field that describes the kind."""
        return {kind(node): node for node in self.created}

    def growth(self) -> Iterator[tuple[Flavor, Flavor]]:
        """The flavors before and after of each replaced host; those with a flavor that is not known are left out."""
        for node in self.replaced:
            before, after = self.flavors[self.former[node.name]], self.flavors[node.flavor]
            if before and after:
                yield before, after


def hosts(plan: ClusterPlan, cloud: Cloud, replaced: Mapping[str, str], ours: Ours) -> Hosts:
    """Sort the hosts of a plan by what the cloud has of them.

    Args:
        plan: the hosts.
        cloud: what there is.
        replaced: the flavors of hosts whose instance is deleted and created again, by the hosts' names.
        ours: what the stack has made already.
    """
    there = cloud.servers(node.name for node in plan.nodes)
    again = tuple(node for node in plan.nodes if node.name in there and node.name in replaced)
    former = {node.name: replaced[node.name] for node in again}
    names = {node.flavor for node in plan.nodes} | set(former.values())
    return Hosts(
        plan,
        tuple(node for node in plan.nodes if node.name not in there),
        again,
        former,
        {name: cloud.flavor(name) for name in sorted(names)},
        ours,
    )


def kind(node: Node) -> str:
    """The field that describes hosts like this one."""
    return "controlPlanes" if isinstance(node, ControlPlane) else f"nodeTypes.{node.type_name}"


def listed(alternatives: Iterable[object]) -> str:
    """A list of what could be written instead, of ten at most."""
    texts = sorted(map(str, alternatives))
    rest = len(texts) - _MOST_NAMES
    return (", ".join(islice(texts, _MOST_NAMES)) or "none") + (f" and {rest} more" if rest > 0 else "")
