"""What a guest's payload disk holds, and the key that names it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from q8s_infra import versions
from q8s_infra.defaults import PAYLOAD_PORT, GuestLink
from q8s_infra.render.node import OCI_RUNTIME
from q8s_infra.render.templates import render
from q8s_infra.spec.registries import KUBERNETES

if TYPE_CHECKING:
    from q8s_infra.arch import Architecture
    from q8s_infra.spec import ClusterSpec

_FORMAT = "1"


@dataclass(frozen=True)
class Payload:
    """The packages and images of a payload disk.

    Attributes:
        packages: names as ``apt-get download`` takes them.
        images: full references; pulled for the guest's platform.
        key: first 16 hex digits of the SHA-256 over all of it; part of the disk's file name.
    """

    packages: tuple[str, ...]
    images: tuple[str, ...]
    key: str


def payload(spec: ClusterSpec, architecture: Architecture) -> Payload:
    """The payload of one architecture's guests."""
    kubernetes = spec.kubernetes
    packages = (
        "containerd",
        # And what it needs beside any cloud image's own (docs/decisions/0026).
        *(OCI_RUNTIME, "libyajl2"),
        f"kubelet={kubernetes.version}-*",
        f"kubeadm={kubernetes.version}-*",
        "kubernetes-cni",
    )
    images = (
        f"{KUBERNETES}/pause:{versions.PAUSE}",
        f"{KUBERNETES}/kube-proxy:v{kubernetes.version}",
        f"docker.io/flannel/flannel:v{kubernetes.flannel_version}",
        f"docker.io/flannel/flannel-cni-plugin:v{versions.FLANNEL_CNI_PLUGIN}",
    )
    content = "\n".join((_FORMAT, architecture.debian, *packages, *images))
    return Payload(packages, images, hashlib.sha256(content.encode()).hexdigest()[:16])


def payload_socket(link: GuestLink) -> str:
    """The unit of a host where its guest gets the executables of another version."""
    return render("q8s-payload.socket.j2", link=link, port=PAYLOAD_PORT)
