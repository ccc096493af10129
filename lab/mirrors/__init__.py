"""What hosts and guests would fetch from the internet, made here and served in the layout of the originals."""

from __future__ import annotations

from typing import Final

from lab.artifact import Artifact
from lab.mirrors import binaries, debian, images, kubernetes, signing

ARTIFACTS: Final[tuple[Artifact, ...]] = (
    # Made in a moment, and a long download waits for it.
    signing.KEY,
    *binaries.ARTIFACTS,
    kubernetes.PACKAGES,
    debian.DEBIAN,
    *images.ARTIFACTS,
)
"""All that is built here, each after what it needs."""
