"""What the user asks for: the description of a cluster, validated."""

from __future__ import annotations

from q8s_infra.spec.access import Access, Bastion, OpenPorts
from q8s_infra.spec.cluster import ClusterSpec, HostImage, Kubernetes, Network
from q8s_infra.spec.errors import Mistake, SpecErrors
from q8s_infra.spec.load import load, read, validated
from q8s_infra.spec.nodes import BootVolume, ControlPlanes, NodeType
from q8s_infra.spec.proxy import Proxy
from q8s_infra.spec.sources import AptSource, GuestImage, Sources

__all__ = [
    "Access",
    "AptSource",
    "Bastion",
    "BootVolume",
    "ClusterSpec",
    "ControlPlanes",
    "GuestImage",
    "HostImage",
    "Kubernetes",
    "Mistake",
    "Network",
    "NodeType",
    "OpenPorts",
    "Proxy",
    "Sources",
    "SpecErrors",
    "load",
    "read",
    "validated",
]
