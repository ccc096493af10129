"""Sources as at a site with mirrors of its own: the lab's, by their address in place of the public names."""

from __future__ import annotations

from typing import Any

from lab.mirrors import debian, signing
from lab.mirrors.facts import facts
from lab.mirrors.serve import KUBERNETES_PATH
from lab.site import TRIMMED
from lab.versions import GUEST_SUITE, HOST_SUITE


def described(files: str, images: str) -> dict[str, Any]:
    """The parts ``sources`` and ``guestImages`` of a cluster's description.

    Args:
        files: URL of the mirror of packages, keys and guest images.
        images: URL of the registry that has all container images.
    """
    known = facts()
    archive = f"{files}/{debian.MAIN}"
    guest = [{"uri": archive, "suites": [GUEST_SUITE]}]
    return {
        "sources": {
            "hostApt": [
                {"uri": archive, "suites": [HOST_SUITE, f"{HOST_SUITE}-updates", f"{HOST_SUITE}-backports"]},
                {"uri": f"{files}/{debian.SECURITY}", "suites": [f"{HOST_SUITE}-security"]},
            ],
            "guestApt": {"x86_64": guest, "arm64": guest},
            "kubernetesApt": {
                "uri": f"{files}/{KUBERNETES_PATH}/",
                "suites": ["/"],
                "components": [],
                "keyUrl": f"{files}/keys/{signing.PUBLIC_KEY}",
                "keyFingerprints": [known.key_fingerprint],
            },
            "registryMirror": images,
        },
        "guestImages": {
            architecture: {"url": f"{files}/images/{name}", "sha256": known.images[name]}
            for architecture, name in TRIMMED.items()
        },
    }
