"""What a stack's configuration has to state about the mirrors: checksums, and a key's fingerprint."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab import images
from lab.artifact import BuildError
from lab.command import run
from lab.mirrors import signing

_GPG_SECONDS: Final = 60


@dataclass(frozen=True)
class Facts:
    """What tells the mirrors from others.

    Attributes:
        key_fingerprint: of the OpenPGP key that signs Kubernetes' packages.
        images: checksums of the guest images by file name.
    """

    key_fingerprint: str
    images: Mapping[str, str]


def facts() -> Facts:
    """What is in the cache.

    Raises:
        BuildError: it has not been built.
    """
    missing = [artifact.name for artifact in (signing.KEY, *images.ARTIFACTS) if not artifact.is_built]
    if missing:
        raise BuildError(f"not built: {', '.join(missing)}; run `make lab`")
    lines = [(artifact.path / "SHA256SUMS").read_text().split() for artifact in images.ARTIFACTS]
    return Facts(_fingerprint(signing.KEY.path / signing.PUBLIC_KEY), {name: sum_ for sum_, name in lines})


def _fingerprint(key: Path) -> str:
    """The primary key's, which gpg names first."""
    with tempfile.TemporaryDirectory(prefix="q8s-gpg-") as home:
        gpg = ("gpg", "--homedir", home, "--batch", "--quiet", "--no-autostart")
        listed = run(*gpg, "--with-colons", "--show-keys", key, limit=_GPG_SECONDS).stdout
    return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
