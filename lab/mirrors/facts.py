"""What a stack's configuration has to state about the mirrors: checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from lab.artifact import BuildError
from lab.images.guest import GUEST_IMAGES
from lab.mirrors import signing


@dataclass(frozen=True)
class Facts:
    """Checksums of what the mirrors serve.

    Attributes:
        key_sha256: of the key file that the package repositories are signed with.
        images: of the guest images, by architecture in Debian's words.
    """

    key_sha256: str
    images: Mapping[str, str]


def facts() -> Facts:
    """The checksums of what is in the cache.

    Raises:
        BuildError: it has not been built.
    """
    missing = [artifact.name for artifact in (signing.KEY, *GUEST_IMAGES.values()) if not artifact.is_built]
    if missing:
        raise BuildError(f"not built: {', '.join(missing)}; run `make lab`")
    key = (signing.KEY.path / signing.PUBLIC_KEY).read_bytes()
    sums = {name: (artifact.path / "SHA256SUMS").read_text().split()[0] for name, artifact in GUEST_IMAGES.items()}
    return Facts(hashlib.sha256(key).hexdigest(), sums)
