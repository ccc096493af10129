"""The pins in ``q8s_infra.versions`` and ``lab.versions``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lab import versions as lab_versions
from lab.outdated.pin import DISTRIBUTION, KUBEADM, PULUMI, Pin, of_go
from q8s_infra import versions

PROGRAM: Final = "q8s_infra/versions.py"
LAB: Final = "lab/versions.py"
_SUITE: Final = "no registry's client names the newest release"


def constants() -> Iterator[Pin]:
    """What the two files of versions pin."""
    kubernetes, etcd, coredns = "k8s.io/kubernetes", "go.etcd.io/etcd/server/v3", "github.com/coredns/coredns"
    yield of_go("Kubernetes", versions.KUBERNETES, PROGRAM, kubernetes)
    yield of_go("Kubernetes, to upgrade from", lab_versions.EARLIER_KUBERNETES, LAB, kubernetes)
    yield of_go("Kubernetes, to upgrade to", lab_versions.NEXT_KUBERNETES, LAB, kubernetes)
    yield of_go("etcd", versions.ETCD, PROGRAM, etcd)
    yield of_go("etcd, to upgrade to", lab_versions.NEXT_ETCD, LAB, etcd)
    yield of_go("CoreDNS", versions.COREDNS, PROGRAM, coredns)
    yield of_go("CoreDNS, to upgrade to", lab_versions.NEXT_COREDNS, LAB, coredns)
    yield Pin(KUBEADM, "pause", versions.PAUSE, (PROGRAM,), reason="an image's tag, which kubeadm names")
    yield of_go("Flannel", versions.FLANNEL, PROGRAM, "github.com/flannel-io/flannel")
    yield of_go("Flannel's CNI plugin", versions.FLANNEL_CNI_PLUGIN, PROGRAM, "github.com/flannel-io/cni-plugin")
    yield of_go("CNI plugins", lab_versions.CNI_PLUGINS, LAB, "github.com/containernetworking/plugins")
    yield of_go("Pulumi's CLI", lab_versions.PULUMI, LAB, "github.com/pulumi/pulumi/pkg/v3")
    # Plugins have the versions of their SDKs (tests/plugins/test_install.py).
    for name, version in (
        ("pulumi-command", lab_versions.PULUMI_COMMAND),
        ("pulumi-kubernetes", lab_versions.PULUMI_KUBERNETES),
        ("pulumi-openstack", lab_versions.PULUMI_OPENSTACK),
    ):
        yield Pin(PULUMI, f"{name}, plugin and SDK", version, (LAB,), "pip", name)
    yield Pin(DISTRIBUTION, "Ubuntu's dated image", versions.UBUNTU_IMAGE, (PROGRAM,), reason="a list of web folders")
    yield Pin(DISTRIBUTION, "Debian of hosts", lab_versions.HOST_SUITE, (LAB,), reason=_SUITE)
    for suite in lab_versions.FURTHER_HOSTS.values():
        yield Pin(DISTRIBUTION, "Debian of further hosts", suite, (LAB,), reason=_SUITE)
    yield Pin(DISTRIBUTION, "Debian of guests", lab_versions.GUEST_SUITE, (LAB,), reason=_SUITE)
    yield Pin(DISTRIBUTION, "busybox", lab_versions.BUSYBOX, (LAB,), reason="the tag of an image that the lab builds")
