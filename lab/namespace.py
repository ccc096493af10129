"""The lab's own network and mount namespace: the machine's keeps no port, bridge, rule or mount of it.

The namespaces are held by bind mounts, not by a process, so there is none to lose.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from lab import layout
from lab.artifact import REPOSITORY

_NET: Final = layout.NAMESPACES / "net"
_MNT: Final = layout.NAMESPACES / "mnt"
_SETUP: Final = REPOSITORY / "lab" / "namespace-setup.sh"


def exists() -> bool:
    """True where the namespaces are there."""
    return all(os.path.ismount(file) for file in (_NET, _MNT))


def create() -> bool:
    """Make the namespaces unless they are there.

    Returns:
        True when they were made.
    """
    if exists():
        return False
    layout.NAMESPACES.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(layout.NAMESPACES):
        # A mount namespace can only be bound where mounts do not propagate.
        _run("mount", "--bind", layout.NAMESPACES, layout.NAMESPACES)
        _run("mount", "--make-private", layout.NAMESPACES)
    for file in (_NET, _MNT):
        if os.path.ismount(file):
            _run("umount", file)
        file.touch()
    _run("unshare", f"--mount={_MNT}", f"--net={_NET}", "--propagation=private", "bash", _SETUP, layout.RUN)
    return True


def remove() -> None:
    """Let go of the namespaces; with their last process they are gone."""
    for path in (_NET, _MNT, layout.NAMESPACES):
        while os.path.ismount(path):
            _run("umount", path)


def command(words: Sequence[str]) -> list[str]:
    """The command that runs words inside, in this working directory."""
    return ["nsenter", f"--mount={_MNT}", f"--net={_NET}", f"--wd={Path.cwd()}", "--", *words]


def run(words: Sequence[str]) -> int:
    """Run words inside; the exit code."""
    return subprocess.run(command(words), check=False).returncode


def replace_with(words: Sequence[str]) -> NoReturn:
    """Become a process inside."""
    inside = command(words)
    os.execvp(inside[0], inside)


def _run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)
