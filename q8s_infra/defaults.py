"""Figures that several layers must agree on: the one place where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

GUEST_MAC: Final = "52:54:00:71:38:53"
"""A guest's on its link, where no other machine is."""

LINK_PREFIX: Final = 30
"""Length of the mask of the link between a host and its guest, which has two addresses."""


@dataclass(frozen=True)
class GuestLink:
    """The private link between a host and its guest: the same range on every host, and reached from that host alone.

    Attributes:
        cidr: its range, a /30.
    """

    cidr: IPv4Network
    mac: str = GUEST_MAC
    prefix: int = LINK_PREFIX

    @property
    def host(self) -> str:
        """The host's address on it."""
        return str(self.cidr[1])

    @property
    def guest(self) -> str:
        """The guest's."""
        return str(self.cidr[2])

    @property
    def netmask(self) -> str:
        """The mask in dotted decimals."""
        return str(self.cidr.netmask)


GUEST_LINKS: Final = tuple(
    IPv4Network(f"{first}/{LINK_PREFIX}") for first in ("192.168.123.0", "172.29.123.0", "10.123.123.0")
)
"""Ranges for that link: the first one that the cluster's own networks leave free."""

TRANSLATION_CACHE_MIB: Final = 256
"""QEMU's cache of translated code, in MiB. QEMU's own default (up to 1 GiB) costs memory at no gain in speed."""

HOST_RESERVE_MIB: Final = 512
"""Memory that a host keeps for its system and for QEMU beside the guest and the translation cache, in MiB."""

HOST_SYSTEM_GIB: Final = 6
"""Disk that a host keeps for its own system, the guest image and the payload, in GiB."""

PAYLOAD_GIB: Final = 3
"""Disk that a payload takes on the first control plane while it is written; kept is less, in GiB."""

JOIN_SECONDS: Final = 1200
"""How long one more control plane is awaited, in seconds: it pulls its images first."""

BOOT_SECONDS: Final = 600
"""How long a guest's boot is awaited so that its state can be kept, in seconds."""

DRAIN_SECONDS: Final = 120
"""How long a node's pods get to leave before it is taken away."""

STEP_TIMEOUT_SECONDS: Final = 3600
"""After this a remote step is ended, unless it has a limit of its own: nothing hangs forever."""

CONTROL_PLANE_PORT: Final = 6443

SSH_PORT: Final = 22
"""Where a host's SSH server listens."""

GUEST_SSH_PORT: Final = 2222
"""Where a worker's host hands connections on to its guest's SSH server."""

LOOPBACK: Final = "127.0.0.1"
"""Where the proxy through a bastion listens: on the machine that runs Pulumi, for nobody else."""

PAYLOAD_PORT: Final = 9473
"""Where a host hands its guest another version's executables, on the guest's link and nowhere else."""

ARTIFACTS_PORT: Final = 9474
"""Where the first control plane serves guests' images and payloads, to the cluster's nodes."""

FLANNEL_RESYNC_SECONDS: Final = 300
"""How often flanneld looks whether its firewall rules are still there; by default every 5 s (docs/decisions/0005)."""

KUBELET_HOUSEKEEPING: Final = "60s"
"""How often a worker's kubelet reads the statistics of its control groups; by default every 10 s."""

ETCD_PORTS: Final = (2379, 2380)
"""Where etcd listens for its clients, which are API servers, and for its other members."""

VXLAN_PORT: Final = 8472
"""Where Flannel's packets between nodes arrive, by UDP."""

KUBELET_PORT: Final = 10250
"""Where kubelet listens: the API server asks it for logs and `exec`, a metrics server for figures."""

HOST_PORTS: Final = {
    SSH_PORT: "SSH of hosts",
    GUEST_SSH_PORT: "SSH of guests",
    **dict.fromkeys(ETCD_PORTS, "etcd"),
    2381: "etcd's metrics",
    CONTROL_PLANE_PORT: "the API server",
    VXLAN_PORT: "Flannel's VXLAN",
    PAYLOAD_PORT: "executables for guests",
    ARTIFACTS_PORT: "images and payloads for guests",
    10248: "kubelet's health",
    10249: "kube-proxy's metrics",
    KUBELET_PORT: "kubelet",
    10256: "kube-proxy's health",
    10257: "the controller manager",
    10259: "the scheduler",
}
"""Ports that nodes and their hosts listen at, and for what ("Ports and Protocols" of the Kubernetes documentation)."""
