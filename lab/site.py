"""Stack configurations for the lab: the same clusters as elsewhere, with the lab's addresses for every source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab import layout
from lab.mirrors.facts import Facts

# A host in the lab is a container: it has no kernel of its own to inspect, and cgroup v1 without systemd's driver.
_KUBERNETES = {"cgroupDriver": "cgroupfs", "ignorePreflightErrors": ["all"]}


def site(facts: Facts) -> dict[str, Any]:
    """The part of a cluster's description that says where it runs.

    Args:
        facts: checksums of what the lab's mirrors serve.
    """
    mirror = f"http://{layout.MIRROR_ADDRESS}"
    key = {"keyUrl": f"{mirror}/keys/q8s-lab.asc", "keySha256": facts.key_sha256}
    debian = {"uri": f"{mirror}/debian", "components": ["main"], **key}
    guest = [{**debian, "suites": ["trixie"]}]
    return {
        "network": {"name": layout.PRIVATE_NETWORK},
        "access": {"mode": "direct", "user": "debian", "allowedCidrs": [layout.UPLINK_CIDR]},
        "hostImage": {"name": layout.HOST_IMAGE},
        "kubernetes": _KUBERNETES,
        "guestImages": {
            architecture: {"url": f"{mirror}/images/q8s-guest-{debian_name}.qcow2", "sha256": facts.images[debian_name]}
            for architecture, debian_name in (("x86_64", "amd64"), ("arm64", "arm64"))
        },
        "sources": {
            "hostApt": [{**debian, "suites": ["bookworm"]}, {**debian, "suites": ["bookworm-backports"]}],
            "guestApt": {"x86_64": guest, "arm64": guest},
            "kubernetesApt": {
                "uri": f"{mirror}/kubernetes/core:/stable:/v1.34/deb/",
                "suites": ["/"],
                "components": [],
                **key,
            },
            "registryMirror": f"http://{layout.MIRROR_ADDRESS}:{layout.REGISTRY_PORT}",
        },
    }


def merged(cluster: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """A cluster's description with everything that the site decides put in its place."""
    here = site(facts)
    return {**cluster, **here, "kubernetes": {**cluster.get("kubernetes", {}), **here["kubernetes"]}}
