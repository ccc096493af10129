"""A further architecture of workers: what its guests need, built when asked for, on nobody's way to a lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from lab.artifact import Artifact
from lab.images.guest import FURTHER_IMAGES
from lab.images.image import FURTHER
from lab.mirrors import binaries, images, kubernetes, signing
from lab.mirrors.authority import AUTHORITIES
from lab.mirrors.binaries import BESIDE, RELEASE, Beside
from q8s_infra import versions

_KUBERNETES: Final = binaries.kubernetes("kubernetes", versions.KUBERNETES, FURTHER)
_BESIDE: Final = binaries.beside(FURTHER)


def _both(ours: Mapping[str, Artifact], further: Mapping[str, Artifact]) -> Mapping[str, Artifact]:
    return {**ours, **further}


_ALL: Final = Beside(
    _both(BESIDE.flannel, _BESIDE.flannel),
    _both(BESIDE.cni_plugins, _BESIDE.cni_plugins),
    _both(BESIDE.cni_flannel, _BESIDE.cni_flannel),
    _both(BESIDE.pause, _BESIDE.pause),
)
_RELEASE: Final = replace(RELEASE, kubernetes=_both(RELEASE.kubernetes, _KUBERNETES))

PACKAGES: Final = kubernetes.repository("kubernetes-packages-further", _RELEASE, beside=_ALL)
"""The default release's packages for all architectures."""
IMAGES: Final = images.storage("registry-further", _RELEASE, beside=_ALL)
"""A registry's storage with the images for all of them."""

ARTIFACTS: Final[tuple[Artifact, ...]] = (
    signing.KEY,
    AUTHORITIES,
    images.BASE,
    *FURTHER_IMAGES.values(),
    *_RELEASE.artifacts,
    *_ALL.artifacts,
    PACKAGES,
    IMAGES,
)
"""All that is built for it, each after what it needs."""
