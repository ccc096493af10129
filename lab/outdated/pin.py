"""A pinned version, and the kinds of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from lab.outdated.ordering import release

Registry = Literal["go", "pip"]
KUBERNETES: Final = "Kubernetes"
KUBEADM: Final = "named by kubeadm"
NETWORK: Final = "network"
PULUMI: Final = "Pulumi"
PYTHON: Final = "Python"
OPENSTACK: Final = "OpenStack"
DISTRIBUTION: Final = "distribution"
KINDS: Final = (KUBERNETES, KUBEADM, NETWORK, PULUMI, "Go module", PYTHON, OPENSTACK, DISTRIBUTION)
"""In the order of the report."""

_GO_KINDS: Final = {
    "k8s.io/kubernetes": KUBERNETES,
    "go.etcd.io/etcd/": KUBEADM,
    "github.com/coredns/coredns": KUBEADM,
    "github.com/flannel-io/": NETWORK,
    "github.com/containernetworking/": NETWORK,
    "github.com/pulumi/": PULUMI,
    "github.com/terraform-provider-openstack/": PULUMI,
}


@dataclass(frozen=True)
class Pin:
    """A pinned version.

    Attributes:
        kind: one of :data:`KINDS`.
        name: what is pinned.
        version: the pinned version, as the first file has it.
        files: where it is pinned, relative to the repository.
        registry: whose client is asked for the newest version; None where none is.
        asked: the name of it there.
        reason: why no registry is asked.
    """

    kind: str
    name: str
    version: str
    files: tuple[str, ...]
    registry: Registry | None = None
    asked: str = ""
    reason: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """The same for one version of one thing in several files."""
        return (self.registry, self.asked or self.name, release(self.version) or self.version)


def of_go(name: str, version: str, file: str, module: str) -> Pin:
    """A pin that Go's module proxy is asked about."""
    kind = next((kind for prefix, kind in _GO_KINDS.items() if module.startswith(prefix)), "Go module")
    return Pin(kind, name, version, (file,), "go", module)
