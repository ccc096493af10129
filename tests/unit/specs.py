"""A description that is right in every field, for tests to spoil."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from q8s_infra.spec import SpecErrors, validated

GOOD: dict[str, Any] = {
    "name": "demo",
    "network": {"name": "private", "cidr": "10.254.1.0/24"},
    "hostImage": {"name": "debian-12"},
    "access": {"user": "debian", "allowedCidrs": ["10.78.0.0/30"]},
    "controlPlanes": {"flavor": "c1.medium"},
    "nodeTypes": {
        "x86": {
            "architecture": "x86_64",
            "cpus": 2,
            "cpuModel": "EPYC-Rome",
            "memory": "2GiB",
            "disk": "10GiB",
            "flavor": "c1.medium",
        },
        "arm": {"architecture": "arm64", "cpus": 6, "memory": "4096MiB", "disk": "20GiB", "flavor": "c1.large"},
    },
    "workers": {"x86": 1, "arm": 2},
    "guestImages": {
        "x86_64": {"url": "http://mirror/amd64.qcow2", "sha256": "a" * 64},
        "arm64": {"url": "http://mirror/arm64.qcow2", "sha256": "b" * 64},
    },
    "sources": {"kubernetesKeySha256": "c" * 64},
}
MAINTAINED = date(2025, 9, 1)
"""A day on which upstream maintained all minor versions of Kubernetes that had been released."""
OF_WORKERS = ("x86_64", "arm64")
"""The architectures of the good description's workers."""
PROTOTYPE: dict[str, Any] = {
    "git_url": "https://example.org/q8s.git",
    "private_network_id": "0123456789abcdef0123456789abcdef",
    "remote_ip_prefix": "10.254.1.0/24",
    "default_image_name": "Ubuntu 22.04",
    "name_of_initial_instance": "first",
    "security_groups": ["default", "q8s-cluster"],
    "required_tcp_ports": [6443, 10250],
    "required_udp_ports": [8472],
    "worker_port_range_min": 30000,
    "worker_port_range_max": 32767,
    "master_node_flavor": "c1.medium",
    "number_additional_master_nodes": 1,
    "worker": {"x86": 1, "arm": 1},
    "vm_types": {
        "x86": {
            "architecture": "x86_64",
            "num_cpus": 2,
            "cpu_model": "EPYC-Rome",
            "machine_model": "virt",
            "ram": 2048,
            "storage": 10,
            "openstack_flavor": "c1.medium",
        },
        "arm": {
            "architecture": "arm_64",
            "num_cpus": 6,
            "cpu_model": "cortex-a57",
            "machine_model": "virt",
            "ram": 4096,
            "storage": 20,
            "openstack_flavor": "c1.large",
        },
    },
}
KEYLESS: dict[str, object] = {"uri": "http://m", "suites": ["a"]}
KEYED = {**KEYLESS, "keyUrl": "http://m/k"}
UBUNTU = "https://cloud-images.ubuntu.com/releases/noble"
DEBIAN = "https://cloud.debian.org/images/cloud"


def spoiled(path: str, value: object, good: Mapping[str, Any] = GOOD) -> dict[str, Any]:
    """A good description with one field set, or removed where the value is ``...``."""
    result = copy.deepcopy(dict(good))
    *parents, last = path.split("/")
    place: Any = result
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return result


def refused(description: Mapping[str, Any]) -> list[str]:
    """All that is wrong with a description."""
    with pytest.raises(SpecErrors) as caught:
        validated(description)
    return [str(mistake) for mistake in caught.value.mistakes]
