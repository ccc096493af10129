"""The architectures of the lab's guests, in Debian's words."""

from __future__ import annotations

from typing import Final

from lab import versions

GUESTS: Final = ("amd64", "arm64")
"""Those that every lab has."""
FURTHER: Final = ("riscv64", "ppc64el", "s390x")
"""Those that further tests have: what their guests need is built when asked for."""


# Not every mirror has all of a newer release for them.
_OF_HOSTS: Final = ("ppc64el", "s390x")


def go_name(architecture: str) -> str:
    """What Go, the OCI and Kubernetes call an architecture."""
    return {"ppc64el": "ppc64le"}.get(architecture, architecture)


def suite(architecture: str) -> str:
    """The release that an architecture's guests have: one that mirrors have all of."""
    return versions.HOST_SUITE if architecture in _OF_HOSTS else versions.GUEST_SUITE
