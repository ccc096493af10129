"""Check what hosts boot from: their flavor's disk, or a volume."""

from __future__ import annotations

from collections.abc import Iterator

from q8s_infra.cloud import Cloud
from q8s_infra.preflight.hosts import Hosts, listed
from q8s_infra.spec import BootVolume, Mistake
from q8s_infra.spec.types import is_id


def volume_mistakes(hosts: Hosts, cloud: Cloud) -> Iterator[Mistake]:
    """What new hosts boot from: Nova refuses to members an instance without a disk that boots from no volume.

    That is the default of its policy ``os_compute_api:servers:create:zero_disk_flavor``.
    """
    kinds = hosts.kinds()
    without = {path for path, node in kinds.items() if (found := hosts.flavors[node.flavor]) and not found.disk_gib}
    if not without and not any(node.boot_volume for node in kinds.values()):
        return
    types = cloud.volume_types()
    for path, node in kinds.items():
        if volume := node.boot_volume:
            yield from _of_volume(f"{path}.bootVolume", volume, types, cloud)
        elif path in without:
            if types is None:
                told = f"is missing, flavor {node.flavor} has no disk of its own, and this cloud no volumes"
            else:
                told = f"is missing, flavor {node.flavor} has no disk of its own: write the size of a volume"
            yield Mistake(f"{path}.bootVolume", None, told)


def _of_volume(path: str, volume: BootVolume, types: frozenset[str] | None, cloud: Cloud) -> Iterator[Mistake]:
    if types is None:
        yield Mistake(path, str(volume.size), "is not available: this cloud has no block storage service")
    elif volume.type and volume.type not in types and not (is_id(volume.type) and cloud.has_volume_type(volume.type)):
        yield Mistake(f"{path}.type", volume.type, f"is no volume type of this cloud, there are {listed(types)}")


def volume_warnings(hosts: Hosts, cloud: Cloud) -> Iterator[str]:
    """Zones of instances that volumes do not have: Nova refuses that where ``cross_az_attach`` is off."""
    kinds = {path: node for path, node in hosts.kinds().items() if node.boot_volume and node.availability_zone}
    zones = cloud.volume_zones() if kinds else None
    if zones is None:
        return
    for path, node in kinds.items():
        if node.availability_zone not in zones:
            yield (
                f"{path}.availabilityZone: volumes have no zone {node.availability_zone}, there are {listed(zones)}; "
                "some clouds attach only volumes of the instance's own zone"
            )
