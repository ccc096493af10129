"""Stack configurations for the lab: the same clusters as elsewhere, with what the site decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lab import layout
from lab.images.guest import image_name
from lab.images.published import published_name
from lab.mirrors import debian
from lab.mirrors.facts import Facts
from lab.mirrors.serve import IMAGES_PATH
from lab.versions import GUEST_SUITE

# A host in the lab is a container: it has no kernel of its own to inspect, and cgroup v1 without systemd's driver.
_KUBERNETES = {"cgroupDriver": "cgroupfs", "ignorePreflightErrors": ["SystemVerification"]}


TRIMMED: Final = {"x86_64": image_name("amd64"), "arm64": image_name("arm64")}
"""File names of guest images for emulated CPUs, by architecture."""
AS_PUBLISHED: Final = {**TRIMMED, "x86_64": published_name("amd64")}
"""The same, with what a distribution publishes where every lab has it."""


def site(facts: Facts, guests: Mapping[str, str] = TRIMMED) -> dict[str, Any]:
    """The part of a cluster's description that says where it runs.

    Sources and keys are the program's defaults, but for what can't be had here: Ubuntu's images and packages, and the
    key of Kubernetes' community (docs/lab.md).

    Args:
        facts: what tells the lab's mirrors from the originals.
        guests: file names of the guests' images, by architecture.
    """
    guest = [{"uri": f"https://deb.debian.org/{debian.MAIN}", "suites": [GUEST_SUITE]}]
    images = f"https://cloud.debian.org/{IMAGES_PATH}"
    return {
        "network": {"name": layout.PRIVATE_NETWORK},
        "access": {"mode": "direct", "user": "debian", "allowedCidrs": [layout.UPLINK_CIDR]},
        "hostImage": {"name": layout.HOST_IMAGE},
        "kubernetes": _KUBERNETES,
        "guestImages": {
            architecture: {"url": f"{images}/{name}", "sha256": facts.images[name]}
            for architecture, name in guests.items()
        },
        "sources": {
            "guestApt": {"x86_64": guest, "arm64": guest},
            "kubernetesKeyFingerprints": [facts.key_fingerprint],
        },
    }


def merged(cluster: Mapping[str, Any], facts: Facts, guests: Mapping[str, str] = TRIMMED) -> dict[str, Any]:
    """A cluster's description with everything that the site decides put in its place; arguments as of :func:`site`."""
    here = site(facts, guests)
    return {**cluster, **here, "kubernetes": {**cluster.get("kubernetes", {}), **here["kubernetes"]}}
