"""What a stack's configuration has to state about the mirrors: checksums, and a key's fingerprint."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.artifact import BuildError
from lab.command import run
from lab.images.guest import GUEST_IMAGES
from lab.mirrors import signing

_GPG_SECONDS: Final = 60


@dataclass(frozen=True)
class Facts:
    """What tells the mirrors from others.

    Attributes:
        key_fingerprint: of the OpenPGP key that signs Kubernetes' packages.
        images: checksums of the guest images, by architecture in Debian's words.
    """

    key_fingerprint: str
    images: Mapping[str, str]


def facts() -> Facts:
    """What is in the cache.

    Raises:
        BuildError: it has not been built.
    """
    missing = [artifact.name for artifact in (signing.KEY, *GUEST_IMAGES.values()) if not artifact.is_built]
    if missing:
        raise BuildError(f"not built: {', '.join(missing)}; run `make lab`")
    sums = {name: (artifact.path / "SHA256SUMS").read_text().split()[0] for name, artifact in GUEST_IMAGES.items()}
    return Facts(_fingerprint(signing.KEY.path / signing.PUBLIC_KEY), sums)


def _fingerprint(key: Path) -> str:
    """The primary key's, which gpg names first."""
    with tempfile.TemporaryDirectory(prefix="q8s-gpg-") as home:
        gpg = ("gpg", "--homedir", home, "--batch", "--quiet", "--no-autostart")
        listed = run(*gpg, "--with-colons", "--show-keys", key, limit=_GPG_SECONDS).stdout
    return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
