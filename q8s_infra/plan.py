"""From a spec to the nodes that make the cluster: names, ordinals, labels. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from q8s_infra.arch import ARCHITECTURES, Architecture
from q8s_infra.spec import BootVolume, ClusterSpec, NodeType, risks
from q8s_infra.spec.names import control_plane_name, worker_name


@dataclass(frozen=True)
class ControlPlane:
    """A node that runs Kubernetes itself, not emulated."""

    name: str
    ordinal: int
    flavor: str
    availability_zone: str | None
    boot_volume: BootVolume | None


@dataclass(frozen=True)
class Worker:
    """An emulated node.

    Attributes:
        name: host, guest and node carry the same.
        ordinal: counted from 0 within its type; the last one leaves first.
        labels: node labels, Q8S's own and the user's.
    """

    name: str
    ordinal: int
    type_name: str
    node_type: NodeType
    architecture: Architecture
    labels: Mapping[str, str] = field(hash=False)
    taints: tuple[str, ...] = ()

    @property
    def flavor(self) -> str:
        """OpenStack flavor of the host."""
        return self.node_type.flavor

    @property
    def availability_zone(self) -> str | None:
        """Availability zone of the host."""
        return self.node_type.availability_zone

    @property
    def boot_volume(self) -> BootVolume | None:
        """What the host boots from; None where that is its flavor's disk."""
        return self.node_type.boot_volume


@dataclass(frozen=True)
class ClusterPlan:
    """All nodes of a cluster."""

    spec: ClusterSpec
    control_planes: tuple[ControlPlane, ...]
    workers: tuple[Worker, ...]
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.spec.name

    @property
    def bake_host(self) -> str:
        """Name of the instance that an image of a host is made from; it is no node."""
        return f"{self.name}-bake"

    @property
    def nodes(self) -> tuple[ControlPlane | Worker, ...]:
        """Control planes, then workers."""
        return (*self.control_planes, *self.workers)

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Those of its workers."""
        used = {worker.architecture.name for worker in self.workers}
        return tuple(each for name, each in ARCHITECTURES.items() if name in used)


def plan(spec: ClusterSpec, today: date | None = None) -> ClusterPlan:
    """The nodes of a spec.

    Args:
        spec: the cluster's description.
        today: the day for which it warns of versions that upstream no longer maintains; by default this one.
    """
    control_planes = tuple(
        ControlPlane(
            name=control_plane_name(spec.name, ordinal, spec.control_planes.name),
            ordinal=ordinal,
            flavor=spec.control_planes.flavor,
            availability_zone=spec.control_planes.availability_zone,
            boot_volume=spec.control_planes.boot_volume,
        )
        for ordinal in range(spec.control_planes.count)
    )
    workers = tuple(
        _worker(spec, type_name, ordinal)
        for type_name, count in sorted(spec.workers.items())
        for ordinal in range(count)
    )
    return ClusterPlan(spec, control_planes, workers, tuple(_warnings(spec, today or current_day())))


def current_day() -> date:
    """The day of this run, in UTC."""
    return datetime.now(UTC).date()


def _worker(spec: ClusterSpec, type_name: str, ordinal: int) -> Worker:
    node_type = spec.node_types[type_name]
    own = {
        "q8s.io/emulated": "true",
        "q8s.io/node-type": type_name,
        "q8s.io/cpu-model": node_type.cpu_model,
    }
    return Worker(
        name=worker_name(spec.name, type_name, ordinal),
        ordinal=ordinal,
        type_name=type_name,
        node_type=node_type,
        architecture=ARCHITECTURES[node_type.architecture],
        labels={**node_type.labels, **own},
        taints=node_type.taints,
    )


def _warnings(spec: ClusterSpec, today: date) -> Iterator[str]:
    count = spec.control_planes.count
    if count % 2 == 0:
        yield (
            f"controlPlanes.count: {count} control planes survive no more failures than {count - 1}: "
            "etcd needs a majority, so an odd number is better"
        )
    yield from risks.warnings(spec, today)
