"""The whole description of a cluster."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Network
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from q8s_infra import versions
from q8s_infra.arch import ARCHITECTURES
from q8s_infra.defaults import GUEST_LINKS, GuestLink
from q8s_infra.spec.access import Access, OpenPorts, of_own_group, shut_out
from q8s_infra.spec.addresses import DEFAULT_SIZE, Addresses, NodeCidrMaskSize, ServiceCidr
from q8s_infra.spec.errors import of_fields
from q8s_infra.spec.names import name_mistakes
from q8s_infra.spec.nodes import ControlPlanes, NodeType
from q8s_infra.spec.proxy import Proxy
from q8s_infra.spec.registries import KUBERNETES, own_address
from q8s_infra.spec.sources import GuestImage, Sources
from q8s_infra.spec.types import (
    ArchitectureName,
    ByArchitecture,
    DnsLabel,
    Id,
    LinkCidr,
    Model,
    Name,
    PortRangeText,
    UsableCidr,
    Version,
    matching,
)
from q8s_infra.units import Period

Tag = Annotated[
    str,
    matching(
        r"[^,/\x00-\x1f\x7f]{1,60}", "a tag is 1 to 60 characters without ',', '/' and line breaks, as Nova has it"
    ),
]
_MOST_TAGS: Final = 50
"""That an instance of Nova's has (its API's MAX_TAG_COUNT)."""
Count = Annotated[int, Field(ge=0, le=5000, strict=True)]
KUBEADMS_PERIOD: Final = Period.parse("365d")
"""How long the certificates are valid that kubeadm makes by itself."""
_PERIODS: Final = Period.parse("1d"), Period.parse("3650d")
"""The shortest and the longest: kubeadm's authority itself is valid for ten years."""
_POLICIES: Final = {"soft": "soft-anti-affinity", "hard": "anti-affinity"}

NO_ADDRESSES: Final = "network.cidr: is missing, and with a proxy nodes have to know their own addresses"


def of_no_type(workers: Collection[str], node_types: Collection[str]) -> list[str]:
    """Mistakes: the names in ``workers`` that no node type has, each with its field before a colon."""
    there = ", ".join(sorted(node_types)) or "none"
    return [f"workers.{name}: no such node type, there are {there}" for name in workers if name not in node_types]


class Network(Model):
    """The OpenStack network that all hosts are on; by name or by id."""

    name: Name | None = Field(default=None, description="Its name; looked up.")
    id: Id | None = Field(default=None, description="Its id, in place of a name.")
    cidr: UsableCidr | None = Field(default=None, description="Its subnet; looked up where it is not given.")
    subnet: Name | None = Field(
        default=None,
        description="The IPv4 subnet of new hosts' addresses, by name or id; for a network with several.",
    )
    guest_link: LinkCidr | None = Field(
        default=None,
        description="Range of the link between a host and its guest, a /30 that the site does not use; by default "
        f"{GUEST_LINKS[0]}, or another one where the cluster's networks have that. A running cluster keeps its own.",
    )

    @model_validator(mode="after")
    def _one_way_to_find_it(self) -> Self:
        if (self.name is None) == (self.id is None):
            raise ValueError("give the network's name or its id, one of them")
        return self


class HostImage(Model):
    """The image that hosts boot: Debian or Ubuntu with cloud-init."""

    name: Name = Field(description="The image's name in Glance, of several the newest, or its id.")


class Kubernetes(Model):
    """Versions and networks inside the cluster."""

    version: Version = Field(default=versions.KUBERNETES, description="Kubernetes' version.")
    flannel_version: Version = Field(default=versions.FLANNEL, description="Flannel's version.")
    pod_cidr: UsableCidr = Field(
        default=IPv4Network("10.244.0.0/16"),
        description="Pods' addresses, a subnet for each node, control planes too; fixed when the cluster is made.",
    )
    node_cidr_mask_size: NodeCidrMaskSize = Field(
        default=DEFAULT_SIZE,
        description="Mask of a node's subnet, `podCidr`'s and 16 bits at most; fixed when the cluster is made.",
    )
    service_cidr: ServiceCidr = Field(
        default=IPv4Network("10.96.0.0/12"),
        description="Services' addresses, a /12 to a /28; fixed when the cluster is made.",
    )
    cgroup_driver: Literal["systemd", "cgroupfs"] = Field(
        default="systemd", description="Must suit the init system of hosts and guests."
    )
    ignore_preflight_errors: tuple[str, ...] = Field(
        default=(), description="kubeadm's checks to pass over, for hosts that are containers."
    )
    certificate_validity_period: Period = Field(
        default=KUBEADMS_PERIOD,
        json_schema_extra={"default": str(KUBEADMS_PERIOD)},
        description="How long control planes' certificates are valid, 1d to 3650d; another is for the next `renew`.",
    )

    @field_validator("version")
    @classmethod
    def _has_what_is_needed(cls, given: str) -> str:
        if versions.is_too_old(given):
            raise ValueError(
                f"{versions.OLDEST_MINOR} or later: this program's documents (kubeadm.k8s.io/v1beta4) and kubectl wait "
                "--for=create are of that version"
            )
        return given

    @field_validator("certificate_validity_period")
    @classmethod
    def _is_within_its_authoritys(cls, given: Period) -> Period:
        shortest, longest = _PERIODS
        if not shortest <= given <= longest:
            raise ValueError(f"{shortest} to {longest}: their authority is valid for ten years")
        return given


class ClusterSpec(Model):
    """A cluster, as its user describes it (key ``q8s:cluster``)."""

    name: DnsLabel = Field(description="Prefix of all names; by default the stack's name.")
    network: Network = Field(description="The network of all hosts.")
    control_planes: ControlPlanes = Field(description="The nodes that are not emulated.")
    host_image: HostImage = Field(description="What all instances boot.")
    access: Access = Field(default=Access(), description="How hosts are reached, and by whom.")
    node_types: dict[DnsLabel, NodeType] = Field(default_factory=dict, description="Kinds of workers, by name.")
    workers: dict[str, Count] = Field(default_factory=dict, description="How many workers of each type (FR3).")
    kubernetes: Kubernetes = Field(default=Kubernetes(), description="Versions and networks inside.")
    guest_images: Annotated[dict[ArchitectureName, GuestImage], ByArchitecture] = Field(
        default_factory=dict,
        description="Cloud images by architecture. By default a dated release of Ubuntu 24.04, or what guests of the "
        "architecture were made from.",
    )
    open_ports: OpenPorts = Field(default=OpenPorts(), description="What else is open.")
    node_ports: PortRangeText = Field(default="30000-32767", description="Range of Kubernetes node ports.")
    security_groups: tuple[Name, ...] = Field(
        default=(), description="Further security groups for all hosts, by name or id."
    )
    allow_all_in_cluster_traffic: StrictBool = Field(
        default=False,
        description="Whether nodes reach all ports of each other. By default they reach what Kubernetes and Flannel "
        "need (docs/security.md). Pods with hostNetwork that other nodes ask, at ports outside nodePorts, need true.",
    )
    sources: Sources = Field(default=Sources(), description="Where packages and container images come from.")
    proxy: Proxy = Field(default=Proxy(), description="HTTP proxies, where there is no other way out.")
    guest_timeout_minutes: int = Field(
        default=30, ge=1, le=1440, strict=True, description="How long a guest may take from power-on to Ready."
    )
    tags: tuple[Tag, ...] = Field(
        default=("q8s",), max_length=_MOST_TAGS, description="Tags of all OpenStack resources."
    )
    anti_affinity: Literal["none", "soft", "hard"] = Field(
        default="none",
        description="New control planes on compute nodes of their own: soft where that can be, hard always.",
    )
    config_drive: StrictBool | None = Field(
        default=None, description="Whether new instances have a config drive; by default as the cloud has it."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        mistakes = [
            *of_no_type(self.workers, self.node_types),
            *self.addresses().mistakes(),
            *name_mistakes(self.name, self.control_planes.name, self.control_planes.count, self.workers),
        ]
        if self.proxy and self.network.cidr is None:
            mistakes.append(NO_ADDRESSES)
        mistakes += self._published_by_nobody()
        mistakes += shut_out(
            self.access,
            self.open_ports,
            self.security_groups,
            all_in_cluster=self.allow_all_in_cluster_traffic,
        )
        mistakes += of_own_group(self.name, self.security_groups)
        if mistakes:
            raise of_fields(mistakes)
        return self

    def guest_image(self, architecture: str) -> GuestImage:
        """The image of an architecture's guests, given or default."""
        return self.guest_images.get(architecture) or GuestImage(url=ARCHITECTURES[architecture].image_url)

    @property
    def node_port_range(self) -> tuple[int, int]:
        """The first and the last node port."""
        low, high = self.node_ports.split("-")
        return int(low), int(high)

    @property
    def guest_link(self) -> GuestLink:
        """The link between each host and its guest."""
        return GuestLink(self.network.guest_link or self.addresses().free_link() or GUEST_LINKS[0])

    @property
    def server_group_policy(self) -> str | None:
        """Nova's policy of the control planes' server group; None where there is none."""
        return _POLICIES.get(self.anti_affinity)

    @property
    def server_group_name(self) -> str:
        """With the policy in it, as a group is made anew for another one."""
        return f"{self.name}-{self.server_group_policy}"

    def _published_by_nobody(self) -> list[str]:
        """Workers for which the packages or images of Kubernetes' own servers would be asked in vain."""
        sources = self.sources
        if sources.kubernetes_apt and sources.registry_at(KUBERNETES) != own_address(KUBERNETES):
            return []
        return [
            f"workers.{name}: Kubernetes itself publishes nothing for {architecture}: name sources that do have it, "
            f"sources.kubernetesApt for packages and for images sources.registryMirror or a mirror of {KUBERNETES}"
            for name in self.workers
            if name in self.node_types
            and not ARCHITECTURES[architecture := self.node_types[name].architecture].kubernetes_published
        ]

    def addresses(self) -> Addresses:
        """The fields that addresses are shared out by."""
        return Addresses(
            pod_cidr=self.kubernetes.pod_cidr,
            node_cidr_mask_size=self.kubernetes.node_cidr_mask_size,
            service_cidr=self.kubernetes.service_cidr,
            network_cidr=self.network.cidr,
            guest_link=self.network.guest_link,
            control_planes=self.control_planes.count,
            workers=self.workers,
        )
