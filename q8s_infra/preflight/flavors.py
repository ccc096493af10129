"""Check flavors: the cloud has them, and they carry their guests, the image, and kubeadm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from q8s_infra.cloud import Cloud, Flavor
from q8s_infra.defaults import HOST_RESERVE_MIB, HOST_SYSTEM_GIB, PAYLOAD_GIB, TRANSLATION_CACHE_MIB
from q8s_infra.lookups import Image
from q8s_infra.plan import ClusterPlan
from q8s_infra.preflight.hosts import Hosts, Node, listed
from q8s_infra.spec import BootVolume, Mistake, NodeType

# kubeadm refuses to install a control plane on less (its preflight checks NumCPU and Mem).
CONTROL_PLANE_CPUS: Final = 2
_CONTROL_PLANE_MIB: Final = 1700


def host_mib(node_type: NodeType) -> int:
    """The memory that a host takes for a guest of this type, QEMU and its own system, in MiB."""
    return node_type.memory.mib + TRANSLATION_CACHE_MIB + HOST_RESERVE_MIB


def host_gib(node_type: NodeType) -> float:
    """The disk that a host takes for a guest that fills both its disks, and for its own system, in GiB."""
    return 2 * node_type.disk.gib + HOST_SYSTEM_GIB


def control_plane_gib(architectures: int) -> int:
    """The disk of a first control plane that makes payloads for so many architectures, and writes one, in GiB."""
    return HOST_SYSTEM_GIB + PAYLOAD_GIB * (architectures + 1)


def flavor_mistakes(hosts: Hosts) -> Iterator[Mistake]:
    """What flavors lack; one that the cloud has no more is no mistake where all of its hosts exist and stay."""
    kinds = hosts.kinds()
    for path, node in kinds.items():
        if hosts.flavors[node.flavor] is None:
            yield Mistake(f"{path}.flavor", node.flavor, "is no flavor of this cloud; write its name, not its id")
    control_planes = hosts.plan.spec.control_planes
    flavor = hosts.flavors[control_planes.flavor]
    if (
        "controlPlanes" in kinds
        and flavor
        and (flavor.vcpus < CONTROL_PLANE_CPUS or flavor.ram_mib < _CONTROL_PLANE_MIB)
    ):
        yield Mistake(
            "controlPlanes.flavor",
            control_planes.flavor,
            f"is too small for kubeadm: at least {CONTROL_PLANE_CPUS} CPUs and {_CONTROL_PLANE_MIB} MiB",
        )
    # A guest of a host that exists can be edited, too.
    for name, node_type in used_types(hosts.plan):
        if flavor := hosts.flavors[node_type.flavor]:
            yield from _guest_mistakes(f"nodeTypes.{name}", node_type, flavor)


def _guest_mistakes(path: str, node_type: NodeType, flavor: Flavor) -> Iterator[Mistake]:
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


def image_mistakes(hosts: Hosts, cloud: Cloud) -> Iterator[Mistake]:
    """Whether hosts that are created can boot the image; those that exist need none any more."""
    if not hosts.created:
        return
    given = hosts.plan.spec.host_image.name
    image = cloud.image(given)
    if image is None:
        yield Mistake("hostImage.name", given, "is no image that this project can see")
    elif image.status != "active":
        yield Mistake("hostImage.name", given, f"is an image that cannot be booted: its status is {image.status}")
    else:
        for path, node in hosts.kinds().items():
            if flavor := hosts.flavors[node.flavor]:
                yield from _too_small(path, node, flavor, image)


def _too_small(path: str, node: Node, flavor: Flavor, image: Image) -> Iterator[Mistake]:
    if image.min_ram_mib > flavor.ram_mib:
        told = f"has {flavor.ram_mib} MiB of memory, and the image of hosts needs {image.min_ram_mib} MiB"
        yield Mistake(f"{path}.flavor", node.flavor, told)
    disk, volume = _disk(flavor, node.boot_volume), node.boot_volume
    if disk and image.min_disk_gib > disk:
        field, given = ("bootVolume.size", str(volume.size)) if volume else ("flavor", node.flavor)
        told = f"has {disk} GiB of disk, and the image of hosts needs {image.min_disk_gib} GiB"
        yield Mistake(f"{path}.{field}", given, told)


def zone_mistakes(hosts: Hosts, cloud: Cloud) -> Iterator[Mistake]:
    """Availability zones of hosts that are created."""
    zones = {path: node.availability_zone for path, node in hosts.kinds().items() if node.availability_zone}
    if not zones:
        return
    there = cloud.availability_zones()
    for path, zone in zones.items():
        if zone not in there:
            told = f"is no availability zone that instances can be in, there are {listed(there)}"
            yield Mistake(f"{path}.availabilityZone", zone, told)


def flavor_warnings(hosts: Hosts) -> Iterator[str]:
    """What works, but perhaps not as meant."""
    yield from _control_plane_warnings(hosts)
    for name, node_type in used_types(hosts.plan):
        path, flavor = f"nodeTypes.{name}", hosts.flavors[node_type.flavor]
        if flavor is None:
            yield _gone(path, node_type.flavor)
            continue
        if node_type.cpus > flavor.vcpus:
            yield f"{path}.cpus: {node_type.cpus} emulated CPUs share {flavor.vcpus} of flavor {node_type.flavor}"
        if (disk := _disk(flavor, node_type.boot_volume)) and host_gib(node_type) > disk:
            yield (
                f"{path}.disk: a guest that fills both its root disk and its disk for images, "
                f"{node_type.disk} each, does not fit {_named(node_type.flavor, node_type.boot_volume)} with {disk} GiB"
            )


def _control_plane_warnings(hosts: Hosts) -> Iterator[str]:
    control_planes, wanted = hosts.plan.spec.control_planes, control_plane_gib(len(hosts.plan.architectures))
    flavor, volume = hosts.flavors[control_planes.flavor], control_planes.boot_volume
    if flavor is None:
        yield _gone("controlPlanes", control_planes.flavor)
        return
    if (disk := _disk(flavor, volume)) and wanted > disk:
        field, what = ("bootVolume", "its volume") if volume else ("flavor", control_planes.flavor)
        yield (
            f"controlPlanes.{field}: {what} has {disk} GiB of disk, and the first one, with what guests are made from, "
            f"may take {wanted} GiB"
        )
    if flavor.swap_mib and "controlPlanes" in hosts.kinds():
        yield (
            f"controlPlanes.flavor: {control_planes.flavor} has {flavor.swap_mib} MiB of swap, and kubelet does not "
            "start on a host where swap is on; a flavor without swap is better"
        )


def _gone(path: str, flavor: str) -> str:
    return f"{path}.flavor: {flavor} is no longer a flavor of this cloud: existing hosts keep it, new ones need another"


def used_types(plan: ClusterPlan) -> Iterator[tuple[str, NodeType]]:
    """The node types that have workers, by name."""
    for name in sorted({worker.type_name for worker in plan.workers}):
        yield name, plan.spec.node_types[name]


def _disk(flavor: Flavor, volume: BootVolume | None) -> int:
    """What a host has room on, in GiB; 0 where it is not known."""
    return int(volume.size.gib) if volume else flavor.disk_gib


def _named(flavor: str, volume: BootVolume | None) -> str:
    return "its boot volume" if volume else f"flavor {flavor}"
