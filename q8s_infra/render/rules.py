"""The rules of a cluster's security groups, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from q8s_infra.defaults import (
    ARTIFACTS_PORT,
    CONTROL_PLANE_PORT,
    ETCD_PORTS,
    GUEST_SSH_PORT,
    KUBELET_PORT,
    SSH_PORT,
    VXLAN_PORT,
)
from q8s_infra.spec.access import Role

if TYPE_CHECKING:
    from q8s_infra.spec import ClusterSpec


@dataclass(frozen=True)
class Rule:
    """An ingress rule for IPv4.

    Attributes:
        name: unique in the cluster, and stable: it names the resource.
        protocol: tcp, udp, icmp, or None for all.
        low: first port, or None for all.
        high: last port, or None for all.
        cidr: the addresses that are let in, or None where ``source`` says who is.
        source: the group whose members are let in.
        group: the group that has the rule.
    """

    name: str
    protocol: str | None = None
    low: int | None = None
    high: int | None = None
    cidr: str | None = None
    source: Role | None = None
    group: Role = "nodes"


ALL_IN_CLUSTER: Final = Rule("members", source="nodes")
"""Any traffic between nodes."""


def description(cluster: str) -> str:
    """The description of a cluster's security groups and floating IP in OpenStack."""
    return f"Q8S cluster {cluster}"


def rules(spec: ClusterSpec) -> tuple[Rule, ...]:
    """All rules of a cluster, without duplicates: Neutron refuses a rule that is there already."""
    wanted = [ALL_IN_CLUSTER] if spec.allow_all_in_cluster_traffic else list(_in_cluster(spec))
    for cidr in map(str, spec.access.allowed_cidrs):
        wanted += [
            _open("tcp", SSH_PORT, SSH_PORT, cidr),
            _open("tcp", GUEST_SSH_PORT, GUEST_SSH_PORT, cidr),
            _open("tcp", CONTROL_PLANE_PORT, CONTROL_PLANE_PORT, cidr),
            Rule(f"icmp-{cidr}", "icmp", cidr=cidr),
        ]
    for protocol, ranges in (("tcp", spec.open_ports.tcp), ("udp", spec.open_ports.udp)):
        for low, high in ranges:
            wanted.append(_open(protocol, low, high, str(spec.open_ports.cidr)))
    return tuple(dict.fromkeys(wanted))


def _in_cluster(spec: ClusterSpec) -> list[Rule]:
    """What nodes need of each other ("Ports and Protocols" of the Kubernetes documentation, and Flannel's VXLAN).

    A pod that asks a node, as a metrics server asks kubelets, has the address of its own node there.
    """
    low, high = spec.node_port_range
    found = [
        Rule("nodes-icmp", "icmp", source="nodes"),
        _between("nodes", "udp", VXLAN_PORT),
        _between("nodes", "tcp", KUBELET_PORT),
        *(_between("nodes", protocol, low, high) for protocol in ("tcp", "udp")),
        _between("nodes", "tcp", CONTROL_PLANE_PORT, group="control-planes"),
        _between("nodes", "tcp", ARTIFACTS_PORT, group="control-planes"),
        _between("control-planes", "tcp", *ETCD_PORTS, group="control-planes"),
    ]
    if spec.access.mode == "floatingIp":
        # All other hosts, and their guests, are reached through the first control plane.
        found += [_between("control-planes", "tcp", port) for port in (SSH_PORT, GUEST_SSH_PORT)]
    return found


def _between(source: Role, protocol: str, low: int, high: int | None = None, *, group: Role = "nodes") -> Rule:
    last = high or low
    return Rule(f"{group}-{protocol}-{low}-{last}-{source}", protocol, low, last, source=source, group=group)


def _open(protocol: str, low: int, high: int, cidr: str) -> Rule:
    return Rule(f"{protocol}-{low}-{high}-{cidr}", protocol, low, high, cidr)
