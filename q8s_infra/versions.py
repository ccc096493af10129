"""The versions that a cluster gets unless its spec says otherwise: the one place where they are pinned."""

from __future__ import annotations

from typing import Final

KUBERNETES: Final = "1.34.4"
OLDEST_MINOR: Final = "1.31"
"""The first with kubeadm.k8s.io/v1beta4, in which all configuration is written, and kubectl wait --for=create."""
FLANNEL: Final = "0.25.6"
FLANNEL_CNI_PLUGIN: Final = "1.5.1-flannel1"

# What kubeadm 1.34.4 asks for (cmd/kubeadm/app/constants/constants.go).
PAUSE: Final = "3.10.1"
ETCD: Final = "3.6.5-0"
COREDNS: Final = "1.12.1"

# Ubuntu 24.04's images for clouds: the release of this day, whose checksums stay.
UBUNTU_IMAGE: Final = "20260911"


def minor(version: str) -> str:
    """The minor version that a version is of: ``1.34`` of ``1.34.4``."""
    return version.rpartition(".")[0]


def is_too_old(version: str) -> bool:
    """Whether a version of Kubernetes is older than what this program writes."""
    return numbers(minor(version)) < numbers(OLDEST_MINOR)


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers, which compare as versions do."""
    return tuple(int(number) for number in version.split("."))
