"""Cloud images for guests: Debian stand-ins for the images that distributions publish, one for each architecture."""

from __future__ import annotations

from typing import Final

from lab.images.guest import ARTIFACTS as TRIMMED
from lab.images.published import PUBLISHED_IMAGES

ARTIFACTS: Final = (*TRIMMED, PUBLISHED_IMAGES["amd64"])
"""What every lab has. As published there is that of this machine's architecture only: one of arm64, built under
emulation, would take longer than all the rest."""
