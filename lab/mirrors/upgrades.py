"""Further releases of Kubernetes, to upgrade a cluster in the lab: built when asked for, on nobody's way to a lab."""

from __future__ import annotations

from typing import Final

from lab.artifact import Artifact
from lab.mirrors import binaries, images, kubernetes, signing
from lab.mirrors.binaries import BESIDE, RELEASE, Release
from lab.versions import EARLIER_KUBERNETES, NEXT_COREDNS, NEXT_ETCD, NEXT_KUBERNETES

_NATIVE: Final = ("amd64",)
EARLIER: Final = Release(
    EARLIER_KUBERNETES,
    RELEASE.etcd_tag,
    RELEASE.coredns_version,
    binaries.kubernetes(f"kubernetes-{EARLIER_KUBERNETES}", EARLIER_KUBERNETES, _NATIVE),
    RELEASE.etcd,
    RELEASE.coredns,
)
"""An earlier patch release, to upgrade from; for the hosts' architecture only."""
NEXT: Final = Release(
    NEXT_KUBERNETES,
    NEXT_ETCD,
    NEXT_COREDNS,
    binaries.kubernetes(f"kubernetes-{NEXT_KUBERNETES}", NEXT_KUBERNETES, _NATIVE),
    binaries.etcd(f"etcd-{NEXT_ETCD.partition('-')[0]}", NEXT_ETCD),
    binaries.coredns(f"coredns-{NEXT_COREDNS}", NEXT_COREDNS, _NATIVE),
)
"""The next minor release, to upgrade to; for the hosts' architecture only."""

PACKAGES: Final = {
    RELEASE.minor: kubernetes.repository(f"kubernetes-packages-{RELEASE.minor}", EARLIER, RELEASE),
    NEXT.minor: kubernetes.repository(f"kubernetes-packages-{NEXT.minor}", NEXT),
}
"""A package repository a minor release, as the community's are."""

IMAGES: Final = images.storage("registry-upgrades", EARLIER, RELEASE, NEXT)
"""One registry's storage for all of them."""

_RELEASES: Final = {each.key: each for release in (RELEASE, EARLIER, NEXT) for each in release.artifacts}

ARTIFACTS: Final[tuple[Artifact, ...]] = (
    signing.KEY,
    images.BASE,
    *_RELEASES.values(),
    *BESIDE.artifacts,
    *PACKAGES.values(),
    IMAGES,
)
"""All that is built for it, each after what it needs."""
