"""Hosts of an older and a newer release of Debian: built on request; a lab starts without them."""

from __future__ import annotations

from typing import Final

from lab.artifact import Artifact
from lab.hosts.image import host_image
from lab.mirrors import debian
from lab.mirrors.authority import AUTHORITIES
from lab.versions import FURTHER_HOSTS

IMAGES: Final = {name: host_image(f"host-image-{suite}", suite) for name, suite in FURTHER_HOSTS.items()}
"""Root file systems of such hosts, by their images' names in the cloud."""
ARCHIVES: Final = {
    name: debian.archive(f"debian-archive-{suite}", (), hosts=suite) for name, suite in FURTHER_HOSTS.items()
}
"""Copies of Debian's archive with what such hosts install, by the same names."""

ARTIFACTS: Final[tuple[Artifact, ...]] = (AUTHORITIES, *IMAGES.values(), *ARCHIVES.values())
"""All that is built for them, each after what it needs."""
