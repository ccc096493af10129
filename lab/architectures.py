"""The architectures of the lab's guests, in Debian's words."""

from __future__ import annotations

from typing import Final

from lab import versions

GUESTS: Final = ("amd64", "arm64")
"""Those that every lab has."""
FURTHER: Final = ("riscv64", "ppc64el")
"""Those that further tests have: what their guests need is built when asked for."""


def go_name(architecture: str) -> str:
    """What Go, the OCI and Kubernetes call an architecture."""
    return {"ppc64el": "ppc64le"}.get(architecture, architecture)


def suite(architecture: str) -> str:
    """The release that an architecture's guests have: one that mirrors have all of."""
    return {"ppc64el": versions.HOST_SUITE}.get(architecture, versions.GUEST_SUITE)
