"""Look up what a plan is checked against beside flavors and quotas: images, networks, security groups, volumes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from math import ceil
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from openstack import exceptions

from q8s_infra.spec.types import is_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import openstack

_T = TypeVar("_T")
_GIB = 2**30


@dataclass(frozen=True)
class Image:
    """An image: its status, and the memory (MiB) and disk (GiB) that an instance needs to boot it (0: any)."""

    status: str
    min_ram_mib: int = 0
    min_disk_gib: int = 0


@dataclass(frozen=True)
class SeenNetwork:
    """A network that the project can see.

    Attributes:
        id: its id.
        name: its name.
        external: floating IPs can come from it.
        port_security: its ports can have security groups.
    """

    id: str
    name: str
    external: bool = False
    port_security: bool = True


@dataclass(frozen=True)
class Subnet:
    """An IPv4 subnet: its id, its name, its range and how many addresses of its pools are free.

    Attributes:
        gateway: it has one.
        dhcp: Neutron hands out its addresses by DHCP.
    """

    id: str
    name: str
    cidr: IPv4Network
    free: int
    gateway: bool = True
    dhcp: bool = True

    def __str__(self) -> str:
        return f"{self.name or self.id} ({self.cidr})"


@dataclass(frozen=True)
class SeenRule:
    """A security group's rule, as Neutron has it; None is any."""

    direction: str
    ethertype: str
    protocol: str | None = None
    low: int | None = None
    high: int | None = None
    cidr: str | None = None
    source: str | None = None
    """Id of the group whose members are let in."""


@dataclass(frozen=True)
class SecurityGroup:
    """A security group that the project can see."""

    id: str
    description: str
    rules: tuple[SeenRule, ...] = ()


class Lookups(Protocol):
    """The look-ups of this module; None where OpenStack does not let a member ask, or cannot answer."""

    def image(self, given: str) -> Image | None:
        """The image of this id, or the newest active one of this name; None where there is none."""
        ...

    def seen_networks(self, given: str) -> tuple[SeenNetwork, ...]:
        """The network of this id, or all of this name."""
        ...

    def subnets(self, network_id: str) -> tuple[Subnet, ...]:
        """The IPv4 subnets of a network."""
        ...

    def security_groups(self, given: str) -> tuple[SecurityGroup, ...] | None:
        """The security group of this id, or all of this name."""
        ...

    def default_rules(self) -> tuple[SeenRule, ...] | None:
        """The rules that Neutron gives each new security group; None where it cannot say (before 2023.2)."""
        ...

    def network_extensions(self) -> frozenset[str] | None:
        """Aliases of Neutron's extensions."""
        ...

    def floating_ip_network(self, description: str) -> str | None:
        """Id of the external network that the project's floating IP of this description is from; None: no such IP."""
        ...

    def has_keypair(self, name: str) -> bool:
        """True where the user has a key pair of this name."""
        ...

    def volume_zones(self) -> frozenset[str] | None:
        """Names of the zones that volumes can be in."""
        ...

    def has_volume_type(self, identity: str) -> bool:
        """True where there is a volume type of this id."""
        ...

    def boot_volumes(self, names: Iterable[str]) -> Mapping[str, int]:
        """The volumes of instances, by the instances' names, in GiB; those without one are left out."""
        ...


class OpenStackLookups:
    """The look-ups by OpenStack's ordinary APIs, as a regular member of a project; see :class:`Lookups`.

    Attributes:
        connection: for what is done, not looked up.
    """

    def __init__(self, connection: openstack.connection.Connection) -> None:
        self.connection = connection

    def image(self, given: str) -> Image | None:
        """See :class:`Lookups`."""
        images = self.connection.image
        if is_id(given):
            found = images.find_image(given)
        else:
            # As Pulumi's provider does: active ones only, the newest of them.
            called = images.images(name=given, status="active")
            found = max(called, key=lambda each: each.created_at or "", default=None)
        if found is None:
            return None
        disk = max(found.min_disk or 0, ceil((found.virtual_size or 0) / _GIB))
        return Image(found.status, found.min_ram or 0, disk)

    def seen_networks(self, given: str) -> tuple[SeenNetwork, ...]:
        """See :class:`Lookups`."""
        api = self.connection.network
        found = [api.find_network(given)] if is_id(given) else api.networks(name=given)
        return tuple(
            SeenNetwork(each.id, each.name or "", bool(each.is_router_external), self._has_port_security(each))
            for each in found
            if each
        )

    def _has_port_security(self, network: Any) -> bool:
        """Whether it is on; openstacksdk also says that it is off where Neutron has no such switch."""
        return bool(network.is_port_security_enabled) or "port-security" not in (self.network_extensions() or ())

    def subnets(self, network_id: str) -> tuple[Subnet, ...]:
        """See :class:`Lookups`."""
        api = self.connection.network
        taken = Counter(ip["subnet_id"] for port in api.ports(network_id=network_id) for ip in port.fixed_ips)
        return tuple(
            Subnet(
                each.id,
                each.name or "",
                IPv4Network(each.cidr),
                _pool_size(each.allocation_pools) - taken[each.id],
                gateway=bool(each.gateway_ip),
                dhcp=bool(each.is_dhcp_enabled),
            )
            for each in api.subnets(network_id=network_id)
            if each.ip_version == 4  # noqa: PLR2004 - IPv4
        )

    def security_groups(self, given: str) -> tuple[SecurityGroup, ...] | None:
        """See :class:`Lookups`."""
        query = {"id": given} if is_id(given) else {"name": given}
        found = allowed(lambda: list(self.connection.network.security_groups(**query)))
        return (
            None
            if found is None
            else tuple(
                SecurityGroup(each.id, each.description or "", tuple(map(_rule, each.security_group_rules or ())))
                for each in found
            )
        )

    def default_rules(self) -> tuple[SeenRule, ...] | None:
        """See :class:`Lookups`."""
        found = allowed(lambda: list(self.connection.network.default_security_group_rules()))
        return (
            None
            if found is None
            else tuple(
                SeenRule(each.direction, each.ether_type or "", cidr=each.remote_ip_prefix)
                for each in found
                if each.used_in_non_default_sg
            )
        )

    def network_extensions(self) -> frozenset[str] | None:
        """See :class:`Lookups`."""
        return allowed(lambda: frozenset(each.alias for each in self.connection.network.extensions()))

    def floating_ip_network(self, description: str) -> str | None:
        """See :class:`Lookups`."""
        project = self.connection.current_project_id
        found = allowed(lambda: list(self.connection.network.ips(description=description, project_id=project)))
        return next((str(each.floating_network_id) for each in found or ()), None)

    def has_keypair(self, name: str) -> bool:
        """See :class:`Lookups`."""
        return allowed(lambda: self.connection.compute.find_keypair(name)) is not None

    def volume_zones(self) -> frozenset[str] | None:
        """See :class:`Lookups`."""
        # Version 2 of the API cannot say.
        ask = getattr(self.connection.block_storage, "availability_zones", None)
        return allowed(lambda: frozenset(each.name for each in ask() if each.state["available"])) if ask else None

    def has_volume_type(self, identity: str) -> bool:
        """See :class:`Lookups`."""
        return self.connection.block_storage.find_type(identity) is not None

    def boot_volumes(self, names: Iterable[str]) -> Mapping[str, int]:
        """See :class:`Lookups`."""
        wanted = set(names)
        servers = [each for each in self.connection.compute.servers() if each.name in wanted]
        return {each.name: sum(self._sizes(each)) for each in servers if each.attached_volumes}

    def _sizes(self, server: Any) -> Iterator[int]:
        for attached in server.attached_volumes:
            # In an instance's description an attachment's id is the volume's.
            yield self.connection.block_storage.get_volume(attached.id).size


def allowed(ask: Callable[[], _T]) -> _T | None:
    """What OpenStack answers; None where it refuses this question to members, or has no such API."""
    try:
        return ask()
    except (exceptions.ForbiddenException, exceptions.NotFoundException):
        return None


def _rule(given: Mapping[str, Any]) -> SeenRule:
    return SeenRule(
        given["direction"],
        given["ethertype"],
        given["protocol"],
        given["port_range_min"],
        given["port_range_max"],
        given["remote_ip_prefix"],
        given["remote_group_id"],
    )


def _pool_size(pools: list[dict[str, str]]) -> int:
    return sum(int(IPv4Address(pool["end"])) - int(IPv4Address(pool["start"])) + 1 for pool in pools)
