"""Compare what a run creates with the project's quotas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from q8s_infra.cloud import Cloud, Quota
from q8s_infra.defaults import CONTROL_PLANE_PORT
from q8s_infra.preflight.hosts import Hosts
from q8s_infra.preflight.network import floating_ips, own_groups
from q8s_infra.render.rules import Rule, rules
from q8s_infra.spec import Mistake

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
    planned = rules(spec, CONTROL_PLANE_PORT)
    groups = own_groups(hosts.plan, cloud)
    if groups:
        # Rules that are no longer wanted go after the new ones have come.
        there = {(rule.protocol, rule.low, rule.high, rule.cidr) for group in groups for rule in group.rules}
        if added := sum(not _is_there(rule, there) for rule in planned):
            wanted["security-group rules"] = added
    elif groups is not None and hosts.is_new_cluster:
        default = cloud.default_rules()
        wanted["security groups"] = 1
        wanted["security-group rules"] = len(planned) + (_DEFAULT_RULES if default is None else len(default))
    if more := floating_ips(hosts.plan, cloud):
        wanted["floating IPs"] = more
    return wanted


def _is_there(rule: Rule, there: set[tuple[str | None, int | None, int | None, str | None]]) -> bool:
    # The rule for the cluster's own members is made with the group.
    return rule.cidr is None or (rule.protocol, rule.low, rule.high, rule.cidr) in there


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
