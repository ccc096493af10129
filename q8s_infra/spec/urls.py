"""URLs that hosts download from: without a password, which would be in command lines, logs and world-readable files."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from q8s_infra.spec.types import form

_NEVER: Final = frozenset("\"'<>\\^`{|} ")
"""What no URL has (RFC 3986), and what would end it in one of the files where it is written."""


def has_password(given: str) -> bool:
    """Whether a text is a URL with a user or a password in it."""
    return "@" in given.partition("://")[2].partition("/")[0]


def _split(given: str, schemes: tuple[str, ...]) -> SplitResult | None:
    """A URL's parts; None where it is none of these schemes, or cannot be written into files as it is."""
    if not (given.isascii() and given.isprintable()) or _NEVER & set(given):
        return None
    try:
        parts = urlsplit(given)
        right = parts.scheme in schemes and parts.port != 0 and (bool(parts.hostname) or parts.scheme == "file")
    except ValueError:
        return None
    return parts if right and given.startswith(f"{parts.scheme}://") else None


def _url(given: str) -> str:
    if has_password(given):
        raise ValueError(
            "has a user or a password in it, which would be in logs and in files that all may read: "
            "take a server that needs none, such as a mirror inside the site"
        )
    if not _split(given, ("http", "https", "file")):
        raise ValueError(
            "a URL is http://HOST[:PORT][/PATH], or the same with https, or file:///PATH, in ASCII and without "
            "spaces and quotes (others as %XX)"
        )
    return given


def _registry_url(given: str) -> str:
    if has_password(given):
        raise ValueError(
            "has a user or a password in it, which would be in files that all may read: they have fields of their "
            "own under sources.registries, for each registry"
        )
    if not _split(given, ("http", "https")):
        raise ValueError(
            "a mirror of registries is http://HOST[:PORT][/PATH], or the same with https, in ASCII and without "
            "spaces and quotes"
        )
    return given


Url = Annotated[str, AfterValidator(_url), form("url")]
RegistryUrl = Annotated[str, AfterValidator(_registry_url), form("url")]
