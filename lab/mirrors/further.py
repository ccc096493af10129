"""Further architectures of workers: what their guests need, built when asked for, on nobody's way to a lab."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from lab.architectures import FURTHER, GUESTS
from lab.artifact import Artifact
from lab.images.guest import FURTHER_IMAGES
from lab.mirrors import binaries, debian, images, kubernetes, signing
from lab.mirrors.authority import AUTHORITIES
from lab.mirrors.binaries import RELEASE
from q8s_infra import versions

APT_PACKAGES: Final = ("qemu-system-misc",)
"""What the machine needs beside what a lab does: an s390x disk is made bootable by booting it."""
_ARCHITECTURES: Final = (*GUESTS, *FURTHER)
BESIDE: Final = binaries.beside(_ARCHITECTURES)
"""What goes with any release, for all architectures."""
_RELEASE: Final = replace(RELEASE, kubernetes=binaries.kubernetes("kubernetes", versions.KUBERNETES, _ARCHITECTURES))

PACKAGES: Final = kubernetes.repository("kubernetes-packages-further", _RELEASE, beside=BESIDE)
"""The default release's packages for all architectures."""
_BASE: Final = images.bases("image-base-further", _ARCHITECTURES)
IMAGES: Final = images.storage("registry-further", _RELEASE, beside=BESIDE, base=_BASE)
"""A registry's storage with the images for all of them."""
DEBIAN: Final = debian.archive("debian-archive-further", FURTHER, hosts=None)
"""A copy of Debian's archive with what their guests install. Not every mirror has all of it at any time."""

ARTIFACTS: Final[tuple[Artifact, ...]] = (
    signing.KEY,
    AUTHORITIES,
    _BASE,
    DEBIAN,
    *FURTHER_IMAGES.values(),
    *_RELEASE.artifacts,
    *BESIDE.artifacts,
    PACKAGES,
    IMAGES,
)
"""All that is built for it, each after what it needs."""
