"""Find the pins of this repository: each version that a person raises, with its files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from lab.artifact import REPOSITORY
from lab.outdated import gomod, requirements
from lab.outdated.constants import constants
from lab.outdated.pin import KINDS, OPENSTACK, PULUMI, PYTHON, Pin, of_go

_SERVICES: Final = ("keystone", "glance", "nova", "neutron", "openstack-placement", "cinder")
"""The lab's OpenStack. Its other packages have the versions that this release of it was tested with."""
_PSEUDO_VERSION: Final = re.compile(r"[0-9]{14}-[0-9a-f]{12}$")


def pins() -> list[Pin]:
    """Every pin, in the report's order; one version of one thing in several files is one pin."""
    found: dict[tuple[object, ...], Pin] = {}
    for pin in (*constants(), *_go_modules(), *_python(), *_openstack()):
        first = found.setdefault(pin.key, pin)
        found[pin.key] = replace(first, files=tuple(dict.fromkeys((*first.files, *pin.files))))
    return sorted(found.values(), key=lambda pin: KINDS.index(pin.kind))


def _go_modules() -> Iterator[Pin]:
    for file in sorted((REPOSITORY / "lab" / "go").glob("*/go.mod")):
        for module, version in gomod.direct(file):
            pin = of_go(module, version.removeprefix("v"), _relative(file), module)
            if _PSEUDO_VERSION.search(version):
                pin = replace(pin, registry=None, asked="", reason="a commit, not a release")
            yield pin


def _python() -> Iterator[Pin]:
    for name in ("requirements", "requirements-dev"):
        locked = requirements.locked(REPOSITORY / f"{name}.txt")
        for package, exact in requirements.named(REPOSITORY / f"{name}.in").items():
            kind = PULUMI if package.startswith("pulumi") else PYTHON
            shown = f"{package}, SDK" if kind == PULUMI else package
            file = f"{name}.in" if exact else f"{name}.txt"
            yield Pin(kind, shown, locked.get(package, "not locked"), (file,), "pip", package)


def _openstack() -> Iterator[Pin]:
    file = REPOSITORY / "lab" / "openstack" / "requirements.txt"
    locked = requirements.locked(file)
    for name, version in sorted(locked.items(), key=lambda each: each[0] not in _SERVICES):
        if name in _SERVICES:
            yield Pin(OPENSTACK, name, version, (_relative(file),), "pip", name)
        else:
            reason = "it goes with OpenStack's release"
            # A name of its own: the program may pin the same package in another version.
            yield Pin(OPENSTACK, f"{name} (OpenStack)", version, (_relative(file),), reason=reason)


def _relative(file: Path) -> str:
    return str(file.relative_to(REPOSITORY))
