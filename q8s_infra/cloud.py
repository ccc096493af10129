"""What the program asks OpenStack itself: flavors, images, networks, quotas, and what a killed run has left behind."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any, Final, Protocol

from openstack import exceptions

from q8s_infra.connection import connected, project_of
from q8s_infra.drift import OWNER, Kind, Port, Server
from q8s_infra.lookups import Lookups, OpenStackLookups, allowed
from q8s_infra.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from q8s_infra.openstack_project import OpenStackProject

_DELETE_SECONDS: Final = 300


@dataclass(frozen=True)
class Flavor:
    """An OpenStack flavor: CPUs, memory in MiB, disk in GiB (0: none, its instances boot from volumes), swap in MiB."""

    vcpus: int
    ram_mib: int
    disk_gib: int
    swap_mib: int = 0


@dataclass(frozen=True)
class Quota:
    """A limit of the project: how much is used, and how much may be (-1: no limit)."""

    used: int
    limit: int

    def allows(self, more: int) -> bool:
        """True where so much more still fits."""
        return self.limit < 0 or self.used + more <= self.limit


@dataclass(frozen=True)
class FoundSubnet:
    """An IPv4 subnet that the project can see: its id, its name and its range."""

    id: str
    name: str
    cidr: IPv4Network


@dataclass(frozen=True)
class FoundNetwork:
    """A network that the project can see, with its IPv4 subnets; an external one is where floating IPs come from."""

    id: str
    name: str
    external: bool
    subnets: tuple[FoundSubnet, ...]


@dataclass(frozen=True)
class FoundImage:
    """An image that instances can boot: its name, its distribution where it says so, when it was made (ISO 8601)."""

    name: str
    distribution: str
    created: str


@dataclass(frozen=True)
class Instance:
    """What Nova says of an instance: status, reason of a failure, the address that leads to it, its console."""

    status: str
    fault: str
    address: str
    console: str


class Cloud(Lookups, Protocol):
    """What can be looked up; tests give one of their own."""

    def flavor(self, name: str) -> Flavor | None:
        """The flavor of this name (its id is no name), or None."""
        ...

    def quotas(self) -> Mapping[str, Quota]:
        """Of Nova and Neutron, by the names that people see; what OpenStack does not tell is left out."""
        ...

    def volume_quotas(self) -> Mapping[str, Quota]:
        """Volumes and their storage (GiB); nothing where the cloud has no volumes."""
        ...

    def servers(self, names: Iterable[str]) -> frozenset[str]:
        """Which instances of these names the project has."""
        ...

    def availability_zones(self) -> frozenset[str]:
        """Names of the zones that instances can be in."""
        ...

    def volume_types(self) -> frozenset[str] | None:
        """Names of the types that volumes can be of; None where the cloud has no volumes."""
        ...

    def has_server_group(self, name: str) -> bool:
        """True where the project has a server group of this name."""
        ...


class Inventory(Protocol):
    """All that a project can see and a cluster could be made of; tests give one of their own."""

    def networks(self) -> Iterable[FoundNetwork]:
        """The project's own networks and those shared with it."""
        ...

    def images(self) -> Iterable[FoundImage]:
        """Active images that instances can boot."""
        ...

    def flavors(self) -> Mapping[str, Flavor]:
        """Flavors by name, those that are disabled left out."""
        ...

    def availability_zones(self) -> frozenset[str]:
        """Names of the zones that instances can be in."""
        ...

    def volume_types(self) -> frozenset[str] | None:
        """Names of the types that volumes can be of; None where the cloud has no volumes."""
        ...


class OpenStackCloud(OpenStackLookups):
    """The look-ups by OpenStack's ordinary APIs, as a regular member of a project.

    Attributes:
        connection: for what is done, not looked up.
    """

    @property
    def project(self) -> OpenStackProject:
        """The project that the connection acts in."""
        return project_of(self.connection)

    def flavor(self, name: str) -> Flavor | None:
        """See :class:`Cloud`."""
        found = self.connection.compute.find_flavor(name)
        # It finds ids, too, and Pulumi's provider takes names only.
        if found is None or found.name != name:
            return None
        return Flavor(found.vcpus, found.ram, found.disk, found.swap)

    def quotas(self) -> Mapping[str, Quota]:
        """See :class:`Cloud`."""
        return {**self._compute_quotas(), **self._network_quotas()}

    def volume_quotas(self) -> Mapping[str, Quota]:
        """See :class:`Cloud`."""
        limits = allowed(self.connection.block_storage.get_limits) if self._has_volumes() else None
        if limits is None:
            return {}
        volumes = limits.absolute
        return {
            "volumes": _quota(volumes.total_volumes_used, volumes.max_total_volumes),
            "volume storage (GiB)": _quota(volumes.total_gigabytes_used, volumes.max_total_volume_gigabytes),
        }

    def servers(self, names: Iterable[str]) -> frozenset[str]:
        """See :class:`Cloud`."""
        return frozenset(names) & {server.name for server in self.connection.compute.servers(details=False)}

    def availability_zones(self) -> frozenset[str]:
        """See :class:`Cloud`."""
        return frozenset(each.name for each in self.connection.compute.availability_zones() if each.state["available"])

    def volume_types(self) -> frozenset[str] | None:
        """See :class:`Cloud`."""
        return frozenset(each.name for each in self.connection.block_storage.types()) if self._has_volumes() else None

    def has_server_group(self, name: str) -> bool:
        """See :class:`Cloud`."""
        found = allowed(lambda: list(self.connection.compute.server_groups()))
        return any(each.name == name for each in found or ())

    def networks(self) -> Iterable[FoundNetwork]:
        """See :class:`Inventory`."""
        subnets = [each for each in self.connection.network.subnets() if each.ip_version == 4]  # noqa: PLR2004 - IPv4
        for network in self.connection.network.networks():
            own = tuple(
                FoundSubnet(each.id, each.name or "", IPv4Network(each.cidr))
                for each in subnets
                if each.network_id == network.id
            )
            yield FoundNetwork(network.id, network.name or "", bool(network.is_router_external), own)

    def images(self) -> Iterable[FoundImage]:
        """See :class:`Inventory`."""
        for image in self.connection.image.images(status="active"):
            # An installer's medium boots, but into no system.
            if image.name and image.disk_format != "iso":
                yield FoundImage(image.name, image.os_distro or "", image.created_at)

    def flavors(self) -> Mapping[str, Flavor]:
        """See :class:`Inventory`."""
        return {
            each.name: Flavor(each.vcpus, each.ram, each.disk)
            for each in self.connection.compute.flavors()
            if not each.is_disabled
        }

    def instances(self, names: Iterable[str]) -> Mapping[str, Instance]:
        """The instances of these names that are there; a floating address comes before a fixed one."""
        wanted = set(names)
        return {
            server.name: self._instance(server) for server in self.connection.compute.servers() if server.name in wanted
        }

    def all_servers(self) -> Iterable[Server]:
        """See :class:`q8s_infra.drift.Cloud`."""
        for each in self.connection.compute.servers():
            yield Server(each.id, each.name, (each.metadata or {}).get(OWNER, ""), launched=_launched(each))

    def ports(self) -> Iterable[Port]:
        """See :class:`q8s_infra.drift.Cloud`."""
        for port in self.connection.network.ports(project_id=self.connection.current_project_id):
            groups, device = frozenset(port.security_group_ids or ()), port.device_id or ""
            yield Port(port.id, port.name or "", groups, free=not device, device=device)

    def delete(self, kind: Kind, identity: str) -> None:
        """See :class:`q8s_infra.drift.Cloud`."""
        if kind == "port":
            self.connection.network.delete_port(identity)
            return
        compute = self.connection.compute
        compute.delete_server(identity)
        if server := compute.find_server(identity):
            compute.wait_for_delete(server, wait=_DELETE_SECONDS)

    def _compute_quotas(self) -> Mapping[str, Quota]:
        compute = self.connection.compute
        if (limits := allowed(compute.get_limits)) is None:
            return {}
        found = limits.absolute
        return {
            "instances": _quota(found.instances_used, found.instances),
            "cores": _quota(found.total_cores_used, found.total_cores),
            "memory (MiB)": _quota(found.total_ram_used, found.total_ram),
            "server groups": _quota(found.server_groups_used, found.server_groups),
            # A limit of each group, and new groups are empty.
            "server group members": _quota(0, found.server_group_members),
            # Each user's own, and Nova does not say how many.
            "key pairs": _quota(allowed(lambda: _count(compute.keypairs())), found.keypairs),
        }

    def _network_quotas(self) -> Mapping[str, Quota]:
        """Of Neutron; where it does not say how much is used (no extension ``quota_details``), by counting."""
        api, project = self.connection.network, self.connection.current_project_id or ""
        if details := allowed(lambda: api.get_quota(project, details=True)):
            return {
                "ports": _network_quota(details.ports),
                "security groups": _network_quota(details.security_groups),
                "security-group rules": _network_quota(details.security_group_rules),
                "floating IPs": _network_quota(details.floating_ips),
            }
        if (limits := allowed(lambda: api.get_quota(project))) is None:
            return {}
        return {
            "ports": _quota(_count(api.ports(project_id=project)), limits.ports),
            "security groups": _quota(_count(api.security_groups(project_id=project)), limits.security_groups),
            "security-group rules": _quota(
                _count(api.security_group_rules(project_id=project)), limits.security_group_rules
            ),
            "floating IPs": _quota(_count(api.ips(project_id=project)), limits.floating_ips),
        }

    def _has_volumes(self) -> bool:
        return self.connection.has_service("block-storage")

    def _instance(self, server: Any) -> Instance:
        addresses = [each for network in server.addresses.values() for each in network if each["version"] == 4]  # noqa: PLR2004
        addresses.sort(key=lambda each: each.get("OS-EXT-IPS:type") != "floating")
        try:
            console = self.connection.compute.get_server_console_output(server, length=500)["output"] or ""
        except exceptions.SDKException as error:
            console = f"no console: {printable(str(error))}"
        return Instance(
            server.status,
            printable((server.fault or {}).get("message") or ""),
            addresses[0]["addr"] if addresses else "",
            console,
        )


def connect(settings: Mapping[str, str]) -> OpenStackCloud:
    """The cloud that Pulumi's OpenStack provider acts in.

    Args:
        settings: ``openstack:*`` of the stack's configuration, without the prefix.

    Raises:
        SpecErrors: see :func:`q8s_infra.connection.connected`.
    """
    return OpenStackCloud(connected(settings))


def _launched(server: Any) -> bool:
    """Whether an instance may have been running; a cloud may hide when it was launched."""
    return server.launched_at is not None or server.status not in {"BUILD", "ERROR"}


def _network_quota(details: Mapping[str, Any] | None) -> Quota:
    found = details or {}
    return _quota((found.get("used") or 0) + (found.get("reserved") or 0), found.get("limit"))


def _quota(used: int | None, limit: int | None) -> Quota:
    """Of what a service says; what it does not say is no limit."""
    return Quota(used or 0, -1 if limit is None else limit)


def _count(resources: Iterable[object]) -> int:
    return sum(1 for _ in resources)
