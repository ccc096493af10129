"""What runs are expected to cost, from what each resource is made of. Independent of the program."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.program.test_edits import BETWEEN_NODES, OTHER_CLUSTER, Cost, Names

SHARED = (
    *("keys", "group", "control-planes-group", "in-use", "keypair", *BETWEEN_NODES),
    *(f"{rule}-10.0.0.0/8" for rule in ("tcp-22-22", "tcp-2222-2222", "tcp-6443-6443", "icmp")),
)
"""What no edit of nodes is for."""
FIRST = "control-plane-0"


@dataclass(frozen=True)
class Made:
    """What a resource was made of.

    Attributes:
        replaced_by: another value of this replaces it.
        updated_by: another value of this updates it.
        count: how many times it was made.
    """

    replaced_by: tuple[object, ...]
    updated_by: tuple[object, ...]
    count: int


@dataclass
class Expected:
    """What becomes of each resource, by names without the cluster's.

    Attributes:
        description: the cluster.
        before: what resources were made of; those that are lost or pending replacement, too.
        lost: not in the stack any more.
        pending: pending replacement.
        leaving: nodes of workers that go, and that no deletion takes out of the cluster.
        made: what they are made of after the run.
        done: what happens to them.
    """

    description: Mapping[str, Any]
    before: Mapping[str, Made]
    lost: Collection[str] = ()
    pending: Collection[str] = ()
    leaving: Collection[str] = ()
    made: dict[str, Made] = field(default_factory=dict)
    done: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in SHARED:
            self._add(name)
        self._first()
        for number in range(1, self._control_planes):
            self._joining(f"control-plane-{number}")
        types = self.description["nodeTypes"]
        running = {name: count for name, count in self.description["workers"].items() if count}
        for architecture in {types[name]["architecture"] for name in running}:
            self._artifacts(f"{FIRST}-{architecture}")
        for name, count in running.items():
            for number in range(count):
                self._worker(f"{name}-{number}", types[name])
        for name in self.leaving:
            self._add(f"{name}-leaves")

    @property
    def cost(self) -> Cost:
        """What the run costs."""
        gone = {name for name in self.before if name not in self.made and name not in {*self.lost, *self.pending}}
        return Cost(deleted=Names(gone), **{done: self._that(done) for done in ("created", "updated", "replaced")})

    @property
    def other_cluster(self) -> bool:
        """Whether the only control plane is made anew, and with it all workers."""
        return self.done["kubernetes"] == "replaced"

    def _that(self, done: str) -> Names:
        return Names(name for name, what in self.done.items() if what == done)

    @property
    def _control_planes(self) -> int:
        return int(self.description["controlPlanes"].get("count", 1))

    @property
    def _version(self) -> str:
        return str(self.description["kubernetes"]["version"])

    def _add(
        self,
        name: str,
        replaced_by: tuple[object, ...] = (),
        updated_by: tuple[object, ...] = (),
        *,
        updates_count: bool = False,
    ) -> int:
        former = self.before.get(name)
        if former is None or name in self.lost:
            done = "created"
        elif name in self.pending or former.replaced_by != replaced_by:
            done = "replaced"
        elif former.updated_by != updated_by:
            done = "updated"
        else:
            done = "unchanged"
        anew = done in ("created", "replaced") or (done == "updated" and updates_count)
        self.made[name] = Made(replaced_by, updated_by, (former.count if former else 0) + anew)
        self.done[name] = done
        return self.made[name].count

    def _host(self, name: str, replaced_by: tuple[object, ...], updated_by: tuple[object, ...]) -> tuple[int]:
        self._add(f"{name}-port")
        instance = (self._add(name, replaced_by),)
        self._add(f"{name}-scripts", instance)
        self._add(f"{name}-host", instance, updated_by)
        return instance

    def _first(self) -> None:
        instance = self._host(FIRST, (), (self._version,))
        if self._control_planes > 1:
            self._add(f"{FIRST}-found", instance)
            self._add(f"{FIRST}-node", (self._add(f"{FIRST}-join", instance),))
        init = self._add(f"{FIRST}-init", instance)
        # Where there are others, they are the cluster that it comes back to.
        cluster = self._add(f"{FIRST}-identity", (), instance, updates_count=self._control_planes == 1)
        self._add(f"{FIRST}-upgrade", instance, (self._version,))
        provider, *objects = OTHER_CLUSTER
        made = (self._add(provider, (cluster,), (init,)),)
        for name in objects:
            self._add(name, made)

    def _joining(self, name: str) -> None:
        instance = self._host(name, (), (self._version,))
        join = self._add(f"{name}-join", instance, (self.made[f"{FIRST}-identity"].count,))
        self._add(f"{name}-node", (join,))
        self._add(f"{name}-upgrade", instance, (self._version,))

    def _artifacts(self, name: str) -> None:
        payload = self._add(f"{name}-payload", (self.made[FIRST].count,), (self._version,))
        self._add(f"{name}-checksums", (payload,), (self._version,))

    def _worker(self, name: str, node_type: Mapping[str, Any]) -> None:
        instance = self._host(name, (node_type["flavor"],), (self._control_planes,))
        cluster = self.made[f"{FIRST}-identity"].count
        checksums = self.made[f"{FIRST}-{node_type['architecture']}-checksums"].count
        described = (cluster, node_type["memory"], node_type["cpus"])
        guest = self._add(f"{name}-guest", (*instance, *described), (self._version, checksums))
        labels = tuple(node_type.get("labels", {}).items())
        self._add(f"{name}-node", (guest,), (self._version, labels, tuple(node_type.get("taints", ()))))


def forgotten(made: Mapping[str, Made], host: str) -> Iterator[tuple[str, Made]]:
    """What was made, where the steps that ran on a host have lost their deletion, which the next run gives them.

    Nodes that leave the cluster by a step on the first control plane keep theirs while another control plane is there.
    """
    alone = not any(name.endswith("-join") and name != f"{FIRST}-join" for name in made)
    for name, each in made.items():
        ended = alone and host == FIRST and name.endswith("-node")
        yield name, replace(each, updated_by=("no deletion",)) if ended else each
