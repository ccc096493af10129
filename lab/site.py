"""Stack configurations for the lab: the same clusters as elsewhere, with what the site decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab import layout
from lab.images.guest import image_name
from lab.mirrors import debian
from lab.mirrors.facts import Facts
from lab.mirrors.serve import IMAGES_PATH
from lab.versions import GUEST_SUITE

# A host in the lab is a container: it has no kernel of its own to inspect, and cgroup v1 without systemd's driver.
_KUBERNETES = {"cgroupDriver": "cgroupfs", "ignorePreflightErrors": ["SystemVerification"]}


def site(facts: Facts) -> dict[str, Any]:
    """The part of a cluster's description that says where it runs.

    Sources and keys are the program's defaults, but for what can't be had here: Ubuntu's images and packages, and the
    key of Kubernetes' community (docs/lab.md).

    Args:
        facts: what tells the lab's mirrors from the originals.
    """
    guest = [{"uri": f"https://deb.debian.org/{debian.MAIN}", "suites": [GUEST_SUITE]}]
    images = f"https://cloud.debian.org/{IMAGES_PATH}"
    return {
        "network": {"name": layout.PRIVATE_NETWORK},
        "access": {"mode": "direct", "user": "debian", "allowedCidrs": [layout.UPLINK_CIDR]},
        "hostImage": {"name": layout.HOST_IMAGE},
        "kubernetes": _KUBERNETES,
        "guestImages": {
            architecture: {"url": f"{images}/{image_name(debian_name)}", "sha256": facts.images[debian_name]}
            for architecture, debian_name in (("x86_64", "amd64"), ("arm64", "arm64"))
        },
        "sources": {
            "guestApt": {"x86_64": guest, "arm64": guest},
            "kubernetesKeyFingerprints": [facts.key_fingerprint],
        },
    }


def merged(cluster: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """A cluster's description with everything that the site decides put in its place."""
    here = site(facts)
    return {**cluster, **here, "kubernetes": {**cluster.get("kubernetes", {}), **here["kubernetes"]}}
