"""How long the lab takes: ``python -m lab.times [--cold]`` brings up a lab beside the one in use, and takes it down.

Cold is with an empty cache, so everything is built; it is measured only where asked for.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from lab import command
from lab.artifact import REPOSITORY

_COLD_SECONDS: Final = 5400
_SECONDS: Final = 900


@contextmanager
def folders() -> Iterator[Path]:
    """Where another lab can be; gone at the end."""
    root = Path(tempfile.mkdtemp(prefix="q8s-lab-", dir="/var/tmp"))
    # Its database has a user of its own.
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root)


def variables(root: Path) -> Mapping[str, str]:
    """What tells a lab's commands that it is the one in these folders."""
    return {f"Q8S_LAB_{name.upper()}": str(root / name) for name in ("state", "run", "logs")}


def main(
    cold: Annotated[bool, typer.Option(help="Also with an empty cache: builds all that the lab is made of.")] = False,
) -> None:
    """Print the seconds, a line for each."""
    console = Console(highlight=False)
    with folders() as root:
        given = {**os.environ, **variables(root)}
        empty = {**given, "Q8S_CACHE": str(root / "cache")}
        try:
            if cold:
                console.print(f"lab, cold: {_seconds(empty, 'up', limit=_COLD_SECONDS):.0f} s")
                _seconds(empty, "down", "--wipe")
            # What it is made of is there from here on.
            _seconds(given, "up", limit=_COLD_SECONDS)
            _seconds(given, "down", "--wipe")
            console.print(f"lab, warm: {_seconds(given, 'up'):.0f} s")
            console.print(f"lab, up already: {_seconds(given, 'up'):.0f} s")
        finally:
            _seconds(given, "down", "--wipe")


def _seconds(environment: Mapping[str, str], *words: str, limit: float = _SECONDS) -> float:
    """How long a command of the lab takes."""
    started = time.monotonic()
    command.run(sys.executable, "-m", "lab", *words, limit=limit, cwd=REPOSITORY, env=environment)
    return time.monotonic() - started


if __name__ == "__main__":
    typer.run(main)
