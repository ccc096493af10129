"""Check the network that hosts are on, security groups, and where a floating IP comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from q8s_infra.cloud import Cloud
from q8s_infra.lookups import SecurityGroup, SeenNetwork, SeenRule, Subnet
from q8s_infra.plan import ClusterPlan
from q8s_infra.preflight.hosts import Hosts, listed
from q8s_infra.render.rules import description
from q8s_infra.spec import Mistake, Network, SpecErrors
from q8s_infra.spec.access import Role, group_name
from q8s_infra.spec.types import is_id


@dataclass(frozen=True)
class Lan:
    """The network of a cluster's hosts, as the cloud has it.

    Attributes:
        path: the field that names the network, or its subnet.
        given: what stands there.
        network: the network.
        subnets: those that a new host's address may come from.
    """

    path: str
    given: str
    network: SeenNetwork
    subnets: tuple[Subnet, ...]


def lan(network: Network, cloud: Cloud) -> Lan:
    """Look the network of hosts up.

    Raises:
        SpecErrors: there is none, or several, or not the subnet that is named.
    """
    path, given = ("network.id", network.id) if network.id else ("network.name", network.name or "")
    found = cloud.seen_networks(given)
    if not found:
        raise SpecErrors([Mistake(path, given, "is no network that this project can see")])
    if len(found) > 1:
        told = f"is the name of several, write an id in network.id, there are {listed(each.id for each in found)}"
        raise SpecErrors([Mistake(path, given, told)])
    subnets = cloud.subnets(found[0].id)
    if not subnets:
        raise SpecErrors([Mistake(path, given, "has no IPv4 subnet")])
    if network.subnet:
        path, given = "network.subnet", network.subnet
        named = tuple(each for each in subnets if given == (each.id if is_id(given) else each.name))
        if len(named) != 1:
            what = "is the name of several, write an id" if named else "is no IPv4 subnet of this network"
            raise SpecErrors([Mistake(path, given, f"{what}, there are {listed(subnets)}")])
        subnets = named
    return Lan(path, given, found[0], subnets)


def lan_mistakes(hosts: Hosts, found: Lan) -> Iterator[Mistake]:
    """What new hosts' ports would be refused for, or not work with; hosts that exist have their addresses."""
    if not hosts.missing:
        return
    if not found.network.port_security:
        field = "network.id" if hosts.plan.spec.network.id else "network.name"
        told = "has port security switched off, so Neutron refuses ports with security groups there"
        yield Mistake(field, found.network.name or found.network.id, told)
    free = sum(subnet.free for subnet in found.subnets)
    if hosts.without_port > free:
        yield Mistake(
            found.path, found.given, f"has {free} free addresses, the cluster takes {hosts.without_port} more"
        )
    yield from _range_mistakes(hosts.plan, found)


def lan_warnings(hosts: Hosts, found: Lan) -> Iterator[str]:
    """What hosts on a subnet may lack."""
    for subnet in found.subnets if hosts.missing else ():
        if not subnet.gateway:
            yield (
                f"{found.path}: subnet {subnet} has no gateway: hosts reach package sources and their users only by "
                "routes that the subnet has otherwise"
            )
        if not subnet.dhcp and not hosts.plan.spec.config_drive:
            yield (
                f"{found.path}: subnet {subnet} has DHCP switched off: where nothing else tells hosts their addresses, "
                "they need configDrive: true"
            )


def _range_mistakes(plan: ClusterPlan, found: Lan) -> Iterator[Mistake]:
    """What does not go with the ranges of the subnets that hosts' addresses come from."""
    cidr, subnets = plan.spec.network.cidr, found.subnets
    overlaps = {subnet: [*_overlaps(plan, subnet)] for subnet in subnets}
    outside = [subnet for subnet in subnets if cidr and not subnet.cidr.subnet_of(cidr)]
    right = [subnet for subnet in subnets if not overlaps[subnet] and subnet not in outside]
    if right and len(right) < len(subnets):
        yield Mistake(
            "network.subnet",
            None,
            f"is missing, and a host could get its address from any of {listed(subnets)}: name one that "
            f"is in network.cidr and apart from pods, services and the link between host and guest, {listed(right)}",
        )
        return
    yield from chain.from_iterable(overlaps.values())
    if plan.spec.network.subnet and outside:
        yield Mistake("network.cidr", str(cidr), f"does not have network.subnet, {outside[0]}, in it")


def _overlaps(plan: ClusterPlan, subnet: Subnet) -> Iterator[Mistake]:
    for field, cidr in (
        ("podCidr", plan.spec.kubernetes.pod_cidr),
        ("serviceCidr", plan.spec.kubernetes.service_cidr),
    ):
        if subnet.cidr.overlaps(cidr):
            yield Mistake(f"kubernetes.{field}", str(cidr), f"overlaps the network's subnet {subnet.cidr}")
    if subnet.cidr.overlaps(link := plan.spec.guest_link.cidr):
        free = plan.spec.addresses().free_link(subnet.cidr)
        told = f"overlaps the network's subnet {subnet.cidr}: write a /{link.prefixlen} that the site does not use"
        yield Mistake("network.guestLink", str(link), f"{told}, such as {free}" if free else told)


def own_group(plan: ClusterPlan, cloud: Cloud, role: Role = "nodes") -> tuple[SecurityGroup, ...] | None:
    """The cluster's own security group of a role where it exists; None where the project may not ask."""
    found = cloud.security_groups(group_name(plan.name, role))
    mine = description(plan.name)
    return None if found is None else tuple(group for group in found if group.description == mine)


def group_mistakes(hosts: Hosts, cloud: Cloud) -> Iterator[Mistake]:
    """Further security groups that are not there; and groups that together let nothing out."""
    rules: list[SeenRule] = []
    for given in hosts.plan.spec.security_groups:
        if (found := cloud.security_groups(given)) is None:
            return
        if len(found) == 1:
            rules += found[0].rules
        elif found:
            told = f"is the name of several, write an id, there are {listed(each.id for each in found)}"
            yield Mistake("securityGroups", given, told)
        else:
            yield Mistake("securityGroups", given, "is no security group that this project can see")
    if not hosts.missing or _lets_out(rules):
        return
    own = own_group(hosts.plan, cloud)
    ours = [rule for group in own for rule in group.rules] if own else cloud.default_rules()
    if own is not None and ours is not None and not _lets_out(ours):
        told = "is missing: new security groups of this cloud let nothing out, name one with an egress rule for IPv4"
        yield Mistake("securityGroups", None, told)


def _lets_out(rules: list[SeenRule] | tuple[SeenRule, ...]) -> bool:
    return any(rule.direction == "egress" and rule.ethertype == "IPv4" for rule in rules)


def floating_ips(plan: ClusterPlan, cloud: Cloud) -> int:
    """How many floating IPs a run takes: one, unless the cluster has it."""
    given = plan.spec.access.external_network
    if given is None:
        return 0
    there = cloud.floating_ip_network(description(plan.name))
    if there is None:
        return 1
    # Another external network is another address; one that has lost its name is the same.
    found = cloud.seen_networks(given)
    return int(bool(found) and there not in {network.id for network in found})


def external_mistakes(plan: ClusterPlan, cloud: Cloud) -> Iterator[Mistake]:
    """Where a floating IP is to come from; one that exists needs nothing."""
    given = plan.spec.access.external_network
    if given is None or not floating_ips(plan, cloud):
        return
    found = cloud.seen_networks(given)
    if not found:
        yield Mistake("access.externalNetwork", given, "is no network that this project can see")
    elif not all(network.external for network in found):
        yield Mistake("access.externalNetwork", given, "is no external network, so no floating IP comes from it")
    elif len(cloud.seen_networks(found[0].name)) > 1:
        # Pulumi's provider takes the first of this name, and no id.
        yield Mistake("access.externalNetwork", given, f"is one of several networks called {found[0].name}: rename one")


def cluster_mistakes(hosts: Hosts, cloud: Cloud) -> Iterator[Mistake]:
    """What stands in the way of a new cluster's other resources."""
    plan = hosts.plan
    if hosts.missing and plan.spec.tags:
        extensions = cloud.network_extensions()
        if extensions is not None and "standard-attr-tag" not in extensions:
            yield Mistake("tags", list(plan.spec.tags), "are not available: Neutron has no tags here, write tags: []")
    # A run that was cut off leaves group and key pair, and they are the stack's.
    if hosts.ours.keypair:
        return
    if hosts.is_new_cluster and own_group(plan, cloud) == () and cloud.has_keypair(plan.name):
        told = (
            "is the name of a key pair that exists: give the cluster another name, or delete it if nothing uses it, "
            f"openstack keypair delete {plan.name}"
        )
        yield Mistake("name", plan.name, told)
