"""Order versions of Go modules, Python packages and image tags; pre-releases are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_RELEASE: Final = re.compile(
    r"v?(?P<numbers>[0-9]+(\.[0-9]+)*)"
    # Revisions of a release: an image's (etcd 3.6.5-0), the Flannel plugin's (1.5.1-flannel1), a Python package's.
    r"((-|-flannel|\.post)(?P<revision>[0-9]{1,3}))?"
    # Build metadata, such as Go's +incompatible.
    r"(\+[0-9A-Za-z.-]+)?"
)


class Release(NamedTuple):
    """A version that is no pre-release, in a form that sorts."""

    numbers: tuple[int, ...]
    revision: int

    @property
    def minor(self) -> tuple[int, ...]:
        """The first two numbers."""
        return (*self.numbers, 0, 0)[:2]


def release(version: str) -> Release | None:
    """Parse a version; None where it is a pre-release or a Go module's pseudo-version (a commit)."""
    found = _RELEASE.fullmatch(version)
    if not found:
        return None
    numbers = [int(number) for number in found["numbers"].split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return Release(tuple(numbers), int(found["revision"] or 0))


def newest(versions: Iterable[str], same_minor_as: str | None = None) -> str | None:
    """Return the newest release of some versions.

    Args:
        versions: in any order, with or without a leading ``v``.
        same_minor_as: consider only releases with the major and minor number of this version.

    Returns:
        The version without its ``v``; None where none qualifies.
    """
    wanted = release(same_minor_as) if same_minor_as else None
    releases = [(parsed, version) for version in versions if (parsed := release(version))]
    if same_minor_as:
        releases = [each for each in releases if wanted and each[0].minor == wanted.minor]
    return max(releases)[1].removeprefix("v") if releases else None
