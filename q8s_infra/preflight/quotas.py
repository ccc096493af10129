"""Compare what a run creates with the project's quotas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, get_args

from q8s_infra.cloud import Cloud, Quota
from q8s_infra.lookups import SecurityGroup
from q8s_infra.preflight.hosts import Hosts
from q8s_infra.preflight.network import floating_ips, own_group
from q8s_infra.render.rules import Rule, rules
from q8s_infra.spec import Mistake
from q8s_infra.spec.access import Role

# Neutron gives each new security group two egress rules, unless its default rules say otherwise.
_DEFAULT_RULES: Final = 2


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


def quota_mistakes(hosts: Hosts, cloud: Cloud) -> Iterator[Mistake]:
    """Quotas that are exceeded."""
    for need in quota_needs(hosts, cloud):
        if not need.fits:
            told = f"is exceeded: {need.quota.used} of {need.quota.limit} are used"
            yield Mistake(f"quota of {need.name}", need.needed, told)


def quota_needs(hosts: Hosts, cloud: Cloud) -> tuple[Need, ...]:
    """How much of each quota a run takes beside what is there; quotas that the cloud does not tell are left out."""
    wanted = {**_of_hosts(hosts), **_of_network(hosts, cloud), **_of_cluster(hosts, cloud)}
    quotas = dict(cloud.quotas())
    if any(node.boot_volume for node in hosts.created):
        wanted |= _of_volumes(hosts, cloud)
        quotas |= cloud.volume_quotas()
    return tuple(Need(name, amount, quotas[name]) for name, amount in wanted.items() if name in quotas)


def _of_hosts(hosts: Hosts) -> dict[str, int]:
    """A replaced host is deleted before it is created again: it takes what its flavor is larger by."""
    new = [flavor for node in hosts.missing if (flavor := hosts.flavors[node.flavor])]
    growth = [*hosts.growth()]
    return {
        "instances": len(hosts.missing),
        "cores": sum(flavor.vcpus for flavor in new)
        + sum(max(0, after.vcpus - before.vcpus) for before, after in growth),
        "memory (MiB)": sum(flavor.ram_mib for flavor in new)
        + sum(max(0, after.ram_mib - before.ram_mib) for before, after in growth),
        "ports": hosts.without_port,
    }


def _of_network(hosts: Hosts, cloud: Cloud) -> dict[str, int]:
    spec = hosts.plan.spec
    wanted: dict[str, int] = {}
    nodes = own_group(hosts.plan, cloud)
    if nodes or (nodes is not None and hosts.is_new_cluster):
        planned = rules(spec)
        roles: set[Role] = {"nodes", *(rule.group for rule in planned)}
        found = {role: own_group(hosts.plan, cloud, role) or () for role in get_args(Role)}
        if missing := sum(not found[role] for role in roles):
            wanted["security groups"] = missing
        if not nodes:
            default = cloud.default_rules()
            wanted["security-group rules"] = _DEFAULT_RULES if default is None else len(default)
        # Rules that are no longer wanted go after the new ones have come.
        if added := sum(not _is_there(rule, found) for rule in planned):
            wanted["security-group rules"] = wanted.get("security-group rules", 0) + added
    if more := floating_ips(hosts.plan, cloud):
        wanted["floating IPs"] = more
    return wanted


def _is_there(rule: Rule, found: Mapping[Role, tuple[SecurityGroup, ...]]) -> bool:
    sources = [group.id for group in found[rule.source]] if rule.source else [None]
    seen = (each for group in found[rule.group] for each in group.rules)
    return any(
        (rule.protocol, rule.low, rule.high, rule.cidr) == (each.protocol, each.low, each.high, each.cidr)
        and each.source in sources
        for each in seen
    )


def _of_cluster(hosts: Hosts, cloud: Cloud) -> dict[str, int]:
    plan, wanted = hosts.plan, dict[str, int]()
    if plan.spec.server_group_policy:
        if not cloud.has_server_group(plan.spec.server_group_name):
            wanted["server groups"] = 1
        if "controlPlanes" in hosts.kinds():
            wanted["server group members"] = len(plan.control_planes)
    if hosts.is_new_cluster and not cloud.has_keypair(plan.name):
        wanted["key pairs"] = 1
    return wanted


def _of_volumes(hosts: Hosts, cloud: Cloud) -> dict[str, int]:
    """The volumes of new hosts, and by how much those of replaced ones grow: a volume goes with its instance."""
    sizes = {node.name: int(node.boot_volume.size.gib) for node in hosts.created if node.boot_volume}
    before = cloud.boot_volumes(node.name for node in hosts.replaced) if hosts.replaced else {}
    return {
        "volumes": sum(name not in before for name in sizes),
        "volume storage (GiB)": sum(max(0, size - before.get(name, 0)) for name, size in sizes.items()),
    }
