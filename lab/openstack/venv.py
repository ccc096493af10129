"""OpenStack's services in a virtual environment of their own, from pinned and hashed requirements."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from lab.artifact import Artifact, Builder

_REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")


def _build(builder: Builder) -> None:
    builder.run(sys.executable, "-m", "venv", builder.out)
    pip = (builder.out / "bin" / "pip", "install", "--quiet", "--no-deps", "--require-hashes")
    builder.run(*pip, "-r", _REQUIREMENTS)


VENV: Final = Artifact(
    name="openstack-venv",
    build=_build,
    files=(_REQUIREMENTS,),
    pins=(sys.version.split()[0],),
    fetches=True,
    movable=False,
)
ARTIFACTS: Final = (VENV,)
