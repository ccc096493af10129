"""What the program asks OpenStack itself: flavors, images, networks, quotas, and what a killed run has left behind."""

from __future__ import annotations

import os
import pwd
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import openstack
from keystoneauth1.exceptions import ClientException
from openstack import exceptions
from openstack.config import OpenStackConfig

from q8s_infra.printable import printable
from q8s_infra.spec import Mistake, Network, SpecErrors
from q8s_infra.spec.types import is_id
from q8s_infra.strays import OWNER, Port, Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DELETE_SECONDS: Final = 300
FAILURES: Final = (exceptions.SDKException, ClientException)
"""What a look-up raises where OpenStack does not answer, or refuses."""


@dataclass(frozen=True)
class Flavor:
    """An OpenStack flavor: CPUs, memory in MiB, disk in GiB (0: none, its instances boot from volumes)."""

    vcpus: int
    ram_mib: int
    disk_gib: int


@dataclass(frozen=True)
class Quota:
    """A limit of the project: how much is used, and how much may be (-1: no limit)."""

    used: int
    limit: int

    def allows(self, more: int) -> bool:
        """True where so much more still fits."""
        return self.limit < 0 or self.used + more <= self.limit


@dataclass(frozen=True)
class Subnet:
    """An IPv4 subnet: its id, its name, its range and how many addresses of its pools are free."""

    id: str
    name: str
    cidr: IPv4Network
    free: int

    def __str__(self) -> str:
        return f"{self.name or self.id} ({self.cidr})"


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


class Cloud(Protocol):
    """What can be looked up; tests give one of their own."""

    def flavor(self, name: str) -> Flavor | None:
        """The flavor of this name, or None."""
        ...

    def has_image(self, name: str) -> bool:
        """True where an active image of this name or id is there."""
        ...

    def subnets(self, network: Network) -> tuple[Subnet, ...] | None:
        """The IPv4 subnets of a network, or None where there is no such network."""
        ...

    def quotas(self) -> Mapping[str, Quota]:
        """Instances, cores, memory (MiB), server groups, ports, security groups and their rules, floating IPs."""
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


class OpenStackCloud:
    """The look-ups by OpenStack's ordinary APIs, as a regular member of a project.

    Attributes:
        connection: for what is done, not looked up.
    """

    def __init__(self, connection: openstack.connection.Connection) -> None:
        self.connection = connection

    def flavor(self, name: str) -> Flavor | None:
        """See :class:`Cloud`."""
        found = self.connection.compute.find_flavor(name)
        return None if found is None else Flavor(found.vcpus, found.ram, found.disk)

    def has_image(self, name: str) -> bool:
        """See :class:`Cloud`."""
        images = self.connection.image
        found = images.find_image(name) if is_id(name) else next(images.images(name=name, status="active"), None)
        return found is not None

    def subnets(self, network: Network) -> tuple[Subnet, ...] | None:
        """See :class:`Cloud`."""
        api = self.connection.network
        found = api.find_network(network.id or network.name or "")
        if found is None:
            return None
        taken = Counter(ip["subnet_id"] for port in api.ports(network_id=found.id) for ip in port.fixed_ips)
        subnets = [each for each in api.subnets(network_id=found.id) if each.ip_version == 4]  # noqa: PLR2004 - IPv4
        return tuple(
            Subnet(each.id, each.name or "", IPv4Network(each.cidr), _pool_size(each.allocation_pools) - taken[each.id])
            for each in subnets
        )

    def quotas(self) -> Mapping[str, Quota]:
        """See :class:`Cloud`."""
        compute = self.connection.compute.get_limits().absolute
        project = self.connection.current_project_id
        network = self.connection.network.get_quota(project or "", details=True)
        return {
            "instances": Quota(compute.instances_used, compute.instances),
            "cores": Quota(compute.total_cores_used, compute.total_cores),
            "memory (MiB)": Quota(compute.total_ram_used, compute.total_ram),
            "server groups": Quota(compute.server_groups_used, compute.server_groups),
            "ports": _network_quota(network.ports),
            "security groups": _network_quota(network.security_groups),
            "security-group rules": _network_quota(network.security_group_rules),
            "floating IPs": _network_quota(network.floating_ips),
        }

    def volume_quotas(self) -> Mapping[str, Quota]:
        """See :class:`Cloud`."""
        if not self._has_volumes():
            return {}
        volumes = self.connection.block_storage.get_limits().absolute
        return {
            "volumes": Quota(volumes.total_volumes_used, volumes.max_total_volumes),
            "volume storage (GiB)": Quota(volumes.total_gigabytes_used, volumes.max_total_volume_gigabytes),
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
        return any(each.name == name for each in self.connection.compute.server_groups())

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
        """See :class:`q8s_infra.strays.Cloud`."""
        servers = self.connection.compute.servers()
        return (Server(each.id, each.name, (each.metadata or {}).get(OWNER, "")) for each in servers)

    def ports(self) -> Iterable[Port]:
        """See :class:`q8s_infra.strays.Cloud`."""
        for port in self.connection.network.ports(project_id=self.connection.current_project_id):
            yield Port(port.id, port.name or "", frozenset(port.security_group_ids or ()), not port.device_id)

    def delete(self, kind: Literal["instance", "port"], identity: str) -> None:
        """See :class:`q8s_infra.strays.Cloud`."""
        if kind == "port":
            self.connection.network.delete_port(identity)
            return
        compute = self.connection.compute
        compute.delete_server(identity)
        if server := compute.find_server(identity):
            compute.wait_for_delete(server, wait=_DELETE_SECONDS)

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


def connect(cloud: str | None = None) -> OpenStackCloud:
    """The cloud that ``clouds.yaml`` or the ``OS_*`` variables describe.

    Args:
        cloud: its name in ``clouds.yaml``; by default ``$OS_CLOUD``.

    Raises:
        SpecErrors: no such cloud, or it lets nobody in with these credentials; or Pulumi's provider would not find it.
    """
    if hidden := hidden_file():
        told = f"clouds.yaml is {hidden}, where Pulumi's OpenStack provider does not look"
        told = f"{told}: export OS_CLIENT_CONFIG_FILE={hidden}"
        raise SpecErrors([Mistake("OS_CLIENT_CONFIG_FILE", None, told)])
    try:
        connection = openstack.connect(cloud=cloud)
        connection.authorize()
    except (*FAILURES, OSError) as error:
        told = f"the OpenStack layer does not let us in: {_first_line(error)}"
        raise SpecErrors([Mistake("OS_CLOUD", cloud, told)]) from None
    return OpenStackCloud(connection)


def hidden_file() -> Path | None:
    """The file ``clouds.yaml`` that openstacksdk reads, where Pulumi's provider would not find it.

    The provider looks into the working directory, the home that passwd(5) names and not ``$HOME``, and
    ``/etc/openstack`` (gophercloud/utils, openstack/clientconfig, ``FindAndReadYAML``).
    """
    if "OS_CLIENT_CONFIG_FILE" in os.environ:
        return None
    found = OpenStackConfig(load_envvars=False).config_filename
    if found is None:
        return None
    home = pwd.getpwuid(os.getuid()).pw_dir
    folders = (Path.cwd(), Path(home, ".config/openstack"), Path("/etc/openstack"))
    path = Path(found)
    return None if any(path.parent.resolve() == folder.resolve() for folder in folders) else path.absolute()


def failure(error: Exception) -> str:
    """What a look-up that failed says of itself, in a line."""
    return f"the OpenStack layer does not answer what it is asked: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return next(iter(printable(str(error)).splitlines()), type(error).__name__)


def _network_quota(details: Any) -> Quota:
    return Quota(details["used"] + details["reserved"], details["limit"])


def _pool_size(pools: list[dict[str, str]]) -> int:
    return sum(int(IPv4Address(pool["end"])) - int(IPv4Address(pool["start"])) + 1 for pool in pools)
