"""How a cluster's addresses are shared out: enough subnets for all nodes, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPV4LENGTH, IPv4Network
from itertools import chain, combinations
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from q8s_infra.defaults import GUEST_LINKS
from q8s_infra.spec.types import UsableCidr

MOST_PODS: Final = 110
"""Pods that a node runs at most: kubelet's default of maxPods, which nothing here changes."""

DEFAULT_SIZE: Final = 24
"""kube-controller-manager's default of --node-cidr-mask-size."""

LARGEST_SUBNET: Final = 8
"""Mask of the largest subnet of a node: that of the largest private range."""

SMALLEST_SUBNET: Final = 25
"""Mask of the smallest subnet of a node: a /26 is too small for its pods."""

MOST_BITS: Final = 16
"""By which a node's mask may be longer than that of all pods (Kubernetes' clusterSubnetMaxDiff)."""

LARGEST_SERVICES: Final = 12
"""Mask of the largest range of services (kube-apiserver's validateMaxCIDRRange, kubeadm's too)."""

SMALLEST_SERVICES: Final = 28
"""Mask of the smallest: the tenth address is that of DNS (kubeadm's MinimumAddressesInServiceSubnet)."""

_NO_PODS: Final = 3
"""Addresses of a node's subnet that no pod gets: the network's, the broadcast and the bridge's."""

_PRIVATE: Final = IPv4Network("10.0.0.0/8")


def _holds_the_pods(given: Any) -> Any:
    """Refuses a subnet that is too small for a node's pods.

    Refused, and maxPods not made smaller to fit: that would take pods from every node of a cluster by a field that
    says nothing of pods.
    """
    if isinstance(given, int) and SMALLEST_SUBNET < given <= IPV4LENGTH:
        have = max(2 ** (IPV4LENGTH - given) - _NO_PODS, 0)
        raise ValueError(
            f"a /{given} has addresses for {have} pods and a node runs up to {MOST_PODS}, "
            f"write {SMALLEST_SUBNET} or less"
        )
    return given


NodeCidrMaskSize = Annotated[
    int, Field(ge=LARGEST_SUBNET, le=SMALLEST_SUBNET, strict=True), BeforeValidator(_holds_the_pods)
]


def _of_a_size_that_works(given: IPv4Network) -> IPv4Network:
    if not LARGEST_SERVICES <= given.prefixlen <= SMALLEST_SERVICES:
        raise ValueError(
            f"a /{given.prefixlen}, and Kubernetes takes a /{LARGEST_SERVICES} to a /{SMALLEST_SERVICES} for services "
            "(kube-apiserver 20 bits at most, kubeadm 10 addresses at least)"
        )
    return given


ServiceCidr = Annotated[UsableCidr, AfterValidator(_of_a_size_that_works)]


@dataclass(frozen=True)
class Addresses:
    """The fields that addresses are shared out by; None where one is not given or wrong by itself, and so not judged.

    Attributes:
        pod_cidr: all pods' addresses.
        node_cidr_mask_size: length of the mask of one node's part of them.
        service_cidr: services' addresses.
        network_cidr: the hosts' subnet.
        guest_link: the link between a host and its guest; None where the program chooses it.
        control_planes: how many.
        workers: how many of each type.
    """

    pod_cidr: IPv4Network | None
    node_cidr_mask_size: int | None
    service_cidr: IPv4Network | None
    network_cidr: IPv4Network | None
    guest_link: IPv4Network | None
    control_planes: int | None
    workers: Mapping[str, int] | None

    def free_link(self, *others: IPv4Network) -> IPv4Network | None:
        """A range for the link between a host and its guest that overlaps neither these networks nor others."""
        taken = [*(network for name, network in self._networks() if name != "network.guestLink"), *others]
        return next((each for each in GUEST_LINKS if not any(map(each.overlaps, taken))), None)

    def mistakes(self) -> list[str]:
        """What does not fit, each with its field before a colon."""
        return [*chain(self._link(), self._room(), self._overlaps())]

    def _link(self) -> Iterator[str]:
        if self.guest_link is None and self.free_link() is None:
            tried = ", ".join(map(str, GUEST_LINKS))
            yield (
                "network.guestLink: is missing: network.cidr, kubernetes.podCidr and kubernetes.serviceCidr have all "
                f"of {tried}: write a /30 that the site does not use"
            )

    def _room(self) -> Iterator[str]:
        pods, size = self.pod_cidr, self.node_cidr_mask_size
        if pods is None or size is None:
            return
        nodes = (self.control_planes or 1) + sum((self.workers or {}).values())
        spread = size - pods.prefixlen
        have = 2**spread if spread >= 0 else 0
        if nodes > 2**MOST_BITS:
            yield (
                f"workers: {nodes:,} nodes with the control planes, and Kubernetes makes {2**MOST_BITS:,} subnets of "
                "kubernetes.podCidr at most, write fewer"
            )
        elif nodes > have:
            instead = self._instead(pods, size, (nodes - 1).bit_length())
            subnets = f"{have:,} subnet{'' if have == 1 else 's'} of /{size}"
            yield (
                f"kubernetes.podCidr: {pods} has {subnets}, {nodes:,} nodes with the control planes need {instead} "
                "(a cluster keeps what it was made with)"
            )
        if spread > MOST_BITS:
            yield (
                f"kubernetes.nodeCidrMaskSize: {size} is {spread} bits more than kubernetes.podCidr, {pods}, and "
                f"Kubernetes allows {MOST_BITS}, write {pods.prefixlen + MOST_BITS}"
            )

    def _instead(self, pods: IPv4Network, size: int, bits: int) -> str:
        """What to write for so many bits of subnets: a larger range, or smaller parts where they hold a node's pods."""
        new = size if size - bits >= LARGEST_SUBNET else DEFAULT_SIZE
        wanted, longer = new - bits, pods.prefixlen + bits
        ways = [f"a /{wanted} or larger" if new == size else f"a /{wanted} with nodeCidrMaskSize {new}"]
        if free := self._free(pods, wanted):
            ways.append(f"such as {free}")
        if size < longer <= SMALLEST_SUBNET:
            ways.append(f"or nodeCidrMaskSize {longer}")
        return ", ".join(ways)

    def _free(self, pods: IPv4Network, prefix: int) -> IPv4Network | None:
        """A private range that overlaps nothing known, with the given one's start in it where that can be."""
        around = pods.supernet(new_prefix=prefix) if prefix <= pods.prefixlen else next(pods.subnets(new_prefix=prefix))
        taken = [network for name, network in self._networks() if name != "kubernetes.podCidr"]
        candidates = chain([around], _PRIVATE.subnets(new_prefix=prefix))
        return next((each for each in candidates if each.is_private and not any(map(each.overlaps, taken))), None)

    def _overlaps(self) -> Iterator[str]:
        for (one, first), (other, second) in combinations(self._networks(), 2):
            if first.overlaps(second):
                yield f"{one}: {first} overlaps {other}, {second}"

    def _networks(self) -> list[tuple[str, IPv4Network]]:
        networks = {
            "network.guestLink": self.guest_link,
            "kubernetes.podCidr": self.pod_cidr,
            "kubernetes.serviceCidr": self.service_cidr,
            "network.cidr": self.network_cidr,
        }
        return [(name, network) for name, network in networks.items() if network is not None]
