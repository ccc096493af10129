"""A description that is right in every field, for tests to spoil."""

from __future__ import annotations

import copy
from collections.abc import Mapping
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


def spoiled(path: str, value: object) -> dict[str, Any]:
    """The good description with one field set, or removed where the value is ``...``."""
    result = copy.deepcopy(GOOD)
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
