"""What files of Python requirements name and pin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_NAMED: Final = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?(?P<bounds>.*)$", re.MULTILINE)
_LOCKED: Final = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)", re.MULTILINE)


def named(file: Path) -> dict[str, bool]:
    """The packages that a ``.in`` file asks for, by their normalized names: whether it pins the version itself."""
    return {_normalized(each["name"]): "==" in each["bounds"] for each in _NAMED.finditer(file.read_text())}


def locked(file: Path) -> dict[str, str]:
    """The versions that a ``.txt`` file pins, by their packages' normalized names."""
    return {_normalized(each["name"]): each["version"] for each in _LOCKED.finditer(file.read_text())}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
