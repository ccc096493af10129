"""The versions that a cluster gets unless its spec says otherwise: the one place where they are pinned."""

from __future__ import annotations

from typing import Final

KUBERNETES: Final = "1.34.4"
FLANNEL: Final = "0.25.6"
FLANNEL_CNI_PLUGIN: Final = "1.5.1-flannel1"

# What kubeadm 1.34.4 asks for (cmd/kubeadm/app/constants/constants.go).
PAUSE: Final = "3.10.1"
ETCD: Final = "3.6.5-0"
COREDNS: Final = "1.12.1"

# Ubuntu 24.04's images for clouds: the release of this day, whose checksums stay.
UBUNTU_IMAGE: Final = "20260911"
