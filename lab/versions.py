"""Versions of what only the lab uses; what a cluster uses is pinned in ``q8s_infra.versions``."""

from __future__ import annotations

from typing import Final

# Pulumi: the CLI, and the plugins that belong to the SDKs in requirements.txt (a test compares them)
PULUMI: Final = "3.259.0"
PULUMI_COMMAND: Final = "1.2.1"
PULUMI_KUBERNETES: Final = "4.34.2"
PULUMI_OPENSTACK: Final = "5.5.3"

# Hosts
HOST_SUITE: Final = "bookworm"
FURTHER_HOSTS: Final = {"debian-11": "bullseye", "debian-13": "trixie"}
"""Host images of further tests, by their names in the cloud: an older and a newer release."""
HOST_NAMESERVER: Final = "10.78.0.1"

# Mirrors
CNI_PLUGINS: Final = "1.7.1"
PACKAGE_REVISION: Final = "1.1"
BUSYBOX: Final = "1.36"
GO_BUILD_DATE: Final = "2026-01-01T00:00:00Z"

# Upgrades: from an earlier patch release to the default, and on to the next minor with what its kubeadm asks for
# (cmd/kubeadm/app/constants/constants.go)
EARLIER_KUBERNETES: Final = "1.34.3"
NEXT_KUBERNETES: Final = "1.35.4"
NEXT_ETCD: Final = "3.6.6-0"
NEXT_COREDNS: Final = "1.13.1"

# Guest images
GUEST_SUITE: Final = "trixie"
