"""The security group's rules, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from q8s_infra.spec import ClusterSpec


@dataclass(frozen=True)
class Rule:
    """An ingress rule for IPv4; without a CIDR it is for the cluster's own members.

    Attributes:
        name: unique in the cluster, and stable: it names the resource.
        protocol: tcp, udp, icmp, or None for all.
        low: first port, or None for all.
        high: last port, or None for all.
        cidr: who may come, or None for the group itself.
    """

    name: str
    protocol: str | None = None
    low: int | None = None
    high: int | None = None
    cidr: str | None = None


def description(cluster: str) -> str:
    """The description of a cluster's security group and floating IP in OpenStack."""
    return f"Q8S cluster {cluster}"


def rules(spec: ClusterSpec, control_plane_port: int) -> tuple[Rule, ...]:
    """All rules of a cluster, without duplicates: Neutron refuses a rule that is there already."""
    wanted = [Rule("members")]
    for cidr in map(str, spec.access.allowed_cidrs):
        wanted += [
            _open("tcp", 22, 22, cidr),
            _open("tcp", 2222, 2222, cidr),
            _open("tcp", control_plane_port, control_plane_port, cidr),
            Rule(f"icmp-{cidr}", "icmp", cidr=cidr),
        ]
    for protocol, ranges in (("tcp", spec.open_ports.tcp), ("udp", spec.open_ports.udp)):
        for low, high in ranges:
            wanted.append(_open(protocol, low, high, str(spec.open_ports.cidr)))
    return tuple(dict.fromkeys(wanted))


def _open(protocol: str, low: int, high: int, cidr: str) -> Rule:
    return Rule(f"{protocol}-{low}-{high}-{cidr}", protocol, low, high, cidr)
