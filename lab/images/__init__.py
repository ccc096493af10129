"""Cloud images for guests: Debian stand-ins for the images that distributions publish, one for each architecture."""

from __future__ import annotations

from lab.images.guest import ARTIFACTS, GUEST_IMAGES, image_name

__all__ = ["ARTIFACTS", "GUEST_IMAGES", "image_name"]
