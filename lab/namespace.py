"""The lab's own network and mount namespace: the machine's keeps no port, bridge, rule or mount of it.

The namespaces are held by bind mounts, not by a process, so there is none to lose.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from lab import command as commands
from lab import layout
from lab.artifact import REPOSITORY
from lab.services import LabError

_NET: Final = layout.NAMESPACES / "net"
_MNT: Final = layout.NAMESPACES / "mnt"
_READY: Final = layout.NAMESPACES / "ready"
_SETUP: Final = REPOSITORY / "lab" / "namespace-setup.sh"


def is_inside() -> bool:
    """True where this process runs in the lab's namespaces already."""
    own, named = layout.RUN / "netns", Path("/run/netns")
    return own.exists() and named.exists() and own.samefile(named)


def exists() -> bool:
    """True where the namespaces are there."""
    # From inside, the files that hold them look empty. The mark tells those that a killed process has half made.
    return is_inside() or (_READY.exists() and all(_is_mount_point(file) for file in (_NET, _MNT)))


def create() -> bool:
    """Make the namespaces unless they are there.

    Returns:
        True when they were made.
    """
    if exists():
        return False
    layout.NAMESPACES.mkdir(parents=True, exist_ok=True)
    if not _is_mount_point(layout.NAMESPACES):
        # A mount namespace can only be bound where mounts do not propagate.
        _run("mount", "--bind", layout.NAMESPACES, layout.NAMESPACES)
        _run("mount", "--make-private", layout.NAMESPACES)
    for file in (_NET, _MNT):
        if _is_mount_point(file):
            _run("umount", file)
        file.touch()
    _run("unshare", f"--mount={_MNT}", f"--net={_NET}", "--propagation=private", "bash", _SETUP, layout.RUN)
    _READY.touch()
    return True


def remove() -> None:
    """Let go of the namespaces; with their last process they are gone.

    Raises:
        LabError: this process is inside.
    """
    refuse_inside()
    for path in (_NET, _MNT, layout.NAMESPACES):
        while _is_mount_point(path):
            _run("umount", path)


def network() -> int | None:
    """The inode number of the network namespace, as processes in it show it; None where it is not held."""
    return _NET.stat().st_ino if _is_mount_point(_NET) else None


def command(words: Sequence[str]) -> list[str]:
    """The command that runs words inside, in this working directory."""
    if is_inside():
        return list(words)
    return ["nsenter", f"--mount={_MNT}", f"--net={_NET}", f"--wd={Path.cwd()}", "--", *words]


def run(words: Sequence[str], *, limit: float) -> int:
    """Run words inside, on this terminal.

    Args:
        words: the command.
        limit: seconds that it may take.

    Returns:
        Its exit code.

    Raises:
        CommandError: it was not done in time.
    """
    return commands.run(*command(words), limit=limit, check=False, attached=True).returncode


def replace_with(words: Sequence[str]) -> NoReturn:
    """Become a process inside."""
    inside = command(words)
    os.execvp(inside[0], inside)


def refuse_inside() -> None:
    """Stop what would saw off the branch it sits on.

    Raises:
        LabError: this process is inside.
    """
    if is_inside():
        raise LabError("this runs inside the lab's namespace: leave it first")


def _is_mount_point(path: Path) -> bool:
    """True for bind mounts within one file system, too, which os.path.ismount does not see."""
    return any(line.split()[1] == str(path) for line in Path("/proc/self/mounts").read_text().splitlines())


def _run(*words: str | Path) -> None:
    commands.run(*words, limit=60)
