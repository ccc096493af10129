"""Does the plan fit the cloud? Every mistake at once, before anything is created."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from q8s_infra.cloud import Cloud, Flavor, Quota, Subnet
from q8s_infra.defaults import (
    CONTROL_PLANE_PORT,
    HOST_RESERVE_MIB,
    HOST_SYSTEM_GIB,
    PAYLOAD_GIB,
    TRANSLATION_CACHE_MIB,
)
from q8s_infra.plan import ClusterPlan, ControlPlane, Worker
from q8s_infra.render.rules import rules
from q8s_infra.spec import BootVolume, Mistake, NodeType, SpecErrors

# Neutron gives each new security group two egress rules.
_DEFAULT_RULES = 2
# kubeadm refuses to install a control plane on less (its preflight checks NumCPU and Mem).
CONTROL_PLANE_CPUS, _CONTROL_PLANE_MIB = 2, 1700


@dataclass(frozen=True)
class Need:
    """A row of the quota table."""

    name: str
    needed: int
    quota: Quota

    @property
    def fits(self) -> bool:
        """True where the project may use so much more."""
        return self.quota.allows(self.needed)


def check(plan: ClusterPlan, cloud: Cloud) -> tuple[str, ...]:
    """Compare a plan with the cloud; hosts that are there already need nothing more.

    Args:
        plan: what is to be.
        cloud: what there is.

    Returns:
        Warnings: what works, but perhaps not as meant.

    Raises:
        SpecErrors: everything that does not fit.
    """
    flavors, missing = _flavors(plan, cloud), _missing(plan, cloud)
    mistakes = [
        *_flavor_mistakes(plan, flavors),
        *_volume_mistakes(missing, cloud, flavors),
        *_network_mistakes(plan, cloud, len(missing)),
        *_zone_mistakes(plan, cloud),
    ]
    # Hosts that are there need no image any more.
    if missing and not cloud.has_image(plan.spec.host_image.name):
        mistakes.append(Mistake("hostImage.name", plan.spec.host_image.name, "is no image that this project can see"))
    if not mistakes:
        mistakes += [
            Mistake(
                f"quota of {need.name}", need.needed, f"is exceeded: {need.quota.used} of {need.quota.limit} are used"
            )
            for need in _needs(plan, cloud, flavors, missing)
            if not need.fits
        ]
    if mistakes:
        raise SpecErrors(mistakes)
    return tuple(_warnings(plan, flavors))


def needs(plan: ClusterPlan, cloud: Cloud) -> tuple[Need, ...]:
    """How much of each quota the plan takes beside what is there."""
    return _needs(plan, cloud, _flavors(plan, cloud), _missing(plan, cloud))


def _needs(
    plan: ClusterPlan, cloud: Cloud, flavors: Mapping[str, Flavor | None], missing: Sequence[ControlPlane | Worker]
) -> tuple[Need, ...]:
    hosts = [flavor for node in missing if (flavor := flavors[node.flavor])]
    wanted = {
        "instances": len(missing),
        "cores": sum(flavor.vcpus for flavor in hosts),
        "memory (MiB)": sum(flavor.ram_mib for flavor in hosts),
        "ports": len(missing),
    }
    if len(missing) == len(plan.nodes):
        wanted |= {
            "security groups": 1,
            "security-group rules": len(rules(plan.spec, CONTROL_PLANE_PORT)) + _DEFAULT_RULES,
        }
    if plan.spec.access.mode == "floatingIp" and plan.control_planes[0] in missing:
        wanted["floating IPs"] = 1
    if plan.spec.server_group_policy and not cloud.has_server_group(plan.spec.server_group_name):
        wanted["server groups"] = 1
    quotas = dict(cloud.quotas())
    if volumes := [node.boot_volume for node in missing if node.boot_volume]:
        wanted["volumes"] = len(volumes)
        wanted["volume storage (GiB)"] = sum(int(volume.size.gib) for volume in volumes)
        quotas |= cloud.volume_quotas()
    return tuple(Need(name, amount, quotas[name]) for name, amount in wanted.items() if name in quotas)


def host_mib(node_type: NodeType) -> int:
    """The memory that a host takes for a guest of this type, QEMU and its own system, in MiB."""
    return node_type.memory.mib + TRANSLATION_CACHE_MIB + HOST_RESERVE_MIB


def host_gib(node_type: NodeType) -> float:
    """The disk that a host takes for a guest that fills both its disks, and for its own system, in GiB."""
    return 2 * node_type.disk.gib + HOST_SYSTEM_GIB


def _missing(plan: ClusterPlan, cloud: Cloud) -> list[ControlPlane | Worker]:
    there = cloud.servers(node.name for node in plan.nodes)
    return [node for node in plan.nodes if node.name not in there]


def _flavors(plan: ClusterPlan, cloud: Cloud) -> dict[str, Flavor | None]:
    return {name: cloud.flavor(name) for name in sorted({node.flavor for node in plan.nodes})}


def _used_types(plan: ClusterPlan) -> Iterator[tuple[str, NodeType]]:
    for name in sorted(Counter(worker.type_name for worker in plan.workers)):
        yield name, plan.spec.node_types[name]


def _flavor_mistakes(plan: ClusterPlan, flavors: Mapping[str, Flavor | None]) -> Iterator[Mistake]:
    control_planes = plan.spec.control_planes
    flavor = flavors[control_planes.flavor]
    if flavor is None:
        yield Mistake("controlPlanes.flavor", control_planes.flavor, "is no flavor of this cloud")
    elif flavor.vcpus < CONTROL_PLANE_CPUS or flavor.ram_mib < _CONTROL_PLANE_MIB:
        yield Mistake(
            "controlPlanes.flavor",
            control_planes.flavor,
            f"is too small for kubeadm: at least {CONTROL_PLANE_CPUS} CPUs and {_CONTROL_PLANE_MIB} MiB",
        )
    for name, node_type in _used_types(plan):
        path, flavor = f"nodeTypes.{name}", flavors[node_type.flavor]
        if flavor is None:
            yield Mistake(f"{path}.flavor", node_type.flavor, "is no flavor of this cloud")
            continue
        wanted = host_mib(node_type)
        if wanted > flavor.ram_mib:
            yield Mistake(
                f"{path}.memory",
                str(node_type.memory),
                f"does not fit flavor {node_type.flavor}: with {TRANSLATION_CACHE_MIB} MiB for QEMU and "
                f"{HOST_RESERVE_MIB} MiB for the host it takes {wanted} of {flavor.ram_mib} MiB",
            )
        if (disk := _disk(flavor, node_type.boot_volume)) and node_type.disk.gib > disk:
            where = _named(node_type.flavor, node_type.boot_volume)
            yield Mistake(f"{path}.disk", str(node_type.disk), f"does not fit {where} with {disk} GiB")


def _disk(flavor: Flavor, volume: BootVolume | None) -> int:
    """What a host has room on, in GiB; 0 where nobody says how much."""
    return int(volume.size.gib) if volume else flavor.disk_gib


def _named(flavor: str, volume: BootVolume | None) -> str:
    return "its boot volume" if volume else f"flavor {flavor}"


def _volume_mistakes(
    missing: Sequence[ControlPlane | Worker], cloud: Cloud, flavors: Mapping[str, Flavor | None]
) -> Iterator[Mistake]:
    """What new hosts boot from: Nova refuses to members an instance without a disk that boots from no volume.

    That is the default of its policy ``os_compute_api:servers:create:zero_disk_flavor``.
    """
    kinds = {
        "controlPlanes" if isinstance(node, ControlPlane) else f"nodeTypes.{node.type_name}": node for node in missing
    }
    without = {path for path, node in kinds.items() if (found := flavors[node.flavor]) and not found.disk_gib}
    if not without and not any(node.boot_volume for node in kinds.values()):
        return
    types = cloud.volume_types()
    for path, node in kinds.items():
        volume = node.boot_volume
        if volume and types is None:
            yield Mistake(f"{path}.bootVolume", str(volume.size), "is not to be had: this cloud has no volumes")
        elif volume and volume.type and types is not None and volume.type not in types:
            told = f"is no volume type of this cloud, there are {', '.join(sorted(types)) or 'none'}"
            yield Mistake(f"{path}.bootVolume.type", volume.type, told)
        elif volume is None and path in without:
            if types is None:
                told = f"is missing, flavor {node.flavor} has no disk of its own, and this cloud no volumes"
            else:
                told = f"is missing, flavor {node.flavor} has no disk of its own: write the size of a volume"
            yield Mistake(f"{path}.bootVolume", None, told)


def _zone_mistakes(plan: ClusterPlan, cloud: Cloud) -> Iterator[Mistake]:
    zones = {"controlPlanes": plan.spec.control_planes.availability_zone} | {
        f"nodeTypes.{name}": node_type.availability_zone for name, node_type in _used_types(plan)
    }
    if not any(zones.values()):
        return
    there = cloud.availability_zones()
    for path, zone in zones.items():
        if zone and zone not in there:
            told = f"is no availability zone that instances can be in, there are {', '.join(sorted(there)) or 'none'}"
            yield Mistake(f"{path}.availabilityZone", zone, told)


def control_plane_gib(architectures: int) -> int:
    """The disk of a first control plane that makes payloads for so many architectures, and writes one, in GiB."""
    return HOST_SYSTEM_GIB + PAYLOAD_GIB * (architectures + 1)


def _warnings(plan: ClusterPlan, flavors: Mapping[str, Flavor | None]) -> Iterator[str]:
    control_planes, wanted = plan.spec.control_planes, control_plane_gib(len(plan.architectures))
    flavor, volume = flavors[control_planes.flavor], control_planes.boot_volume
    if flavor and (disk := _disk(flavor, volume)) and wanted > disk:
        field, what = ("bootVolume", "its volume") if volume else ("flavor", control_planes.flavor)
        yield (
            f"controlPlanes.{field}: {what} has {disk} GiB of disk, and the first one, with what guests are made from, "
            f"may take {wanted} GiB"
        )
    for name, node_type in _used_types(plan):
        flavor = flavors[node_type.flavor]
        if flavor is None:
            continue
        if node_type.cpus > flavor.vcpus:
            yield (
                f"nodeTypes.{name}.cpus: {node_type.cpus} emulated CPUs share {flavor.vcpus} of flavor "
                f"{node_type.flavor}"
            )
        if (disk := _disk(flavor, node_type.boot_volume)) and host_gib(node_type) > disk:
            yield (
                f"nodeTypes.{name}.disk: a guest that fills both its root disk and its disk for images, "
                f"{node_type.disk} each, does not fit {_named(node_type.flavor, node_type.boot_volume)} with {disk} GiB"
            )


def _network_mistakes(plan: ClusterPlan, cloud: Cloud, missing: int) -> Iterator[Mistake]:
    network = plan.spec.network
    subnets = cloud.subnets(network)
    path, given = ("network.id", network.id) if network.id else ("network.name", network.name)
    if subnets is None:
        yield Mistake(path, given, "is no network that this project can see")
        return
    if not subnets:
        yield Mistake(path, given, "has no IPv4 subnet")
        return
    if network.subnet:
        path, given = "network.subnet", network.subnet
        there = ", ".join(map(str, subnets))
        subnets = tuple(each for each in subnets if network.subnet in (each.id, each.name))
        if len(subnets) != 1:
            what = "is the name of several, write an id" if subnets else "is no IPv4 subnet of this network"
            yield Mistake(path, given, f"{what}, there are {there}")
            return
    free = sum(subnet.free for subnet in subnets)
    if missing > free:
        yield Mistake(path, given, f"has {free} free addresses, the cluster takes {missing} more")
    yield from _range_mistakes(plan, subnets, chosen=network.subnet is not None, wanted=missing > 0)


def _range_mistakes(plan: ClusterPlan, subnets: Sequence[Subnet], *, chosen: bool, wanted: bool) -> Iterator[Mistake]:
    """What does not go with the ranges of the subnets that hosts' addresses come from.

    Args:
        plan: what is to be.
        subnets: any of them may be the one.
        chosen: the description says which one it is.
        wanted: there are hosts that need an address.
    """
    cidr = plan.spec.network.cidr
    overlaps = {subnet: [*_overlaps(plan, subnet)] for subnet in subnets}
    outside = [subnet for subnet in subnets if wanted and cidr and not subnet.cidr.subnet_of(cidr)]
    right = [subnet for subnet in subnets if not overlaps[subnet] and subnet not in outside]
    if right and len(right) < len(subnets):
        yield Mistake(
            "network.subnet",
            None,
            f"is missing, and a host could get its address from any of {', '.join(map(str, subnets))}: name one that "
            f"is in network.cidr and apart from pods and services, {' or '.join(map(str, right))}",
        )
        return
    yield from chain.from_iterable(overlaps.values())
    if chosen and outside:
        yield Mistake("network.cidr", str(cidr), f"does not have network.subnet, {outside[0]}, in it")


def _overlaps(plan: ClusterPlan, subnet: Subnet) -> Iterator[Mistake]:
    for field, cidr in (
        ("podCidr", plan.spec.kubernetes.pod_cidr),
        ("serviceCidr", plan.spec.kubernetes.service_cidr),
    ):
        if subnet.cidr.overlaps(cidr):
            yield Mistake(f"kubernetes.{field}", str(cidr), f"overlaps the network's subnet {subnet.cidr}")
