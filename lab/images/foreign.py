"""Another architecture's programs on this machine: QEMU's user-mode emulation, registered while an image is built.

The kernel's registry (binfmt_misc in its admin-guide) is the machine's, whichever lab a build is of. Where its file
system is mounted nowhere else, the kernel drops the entry with the build's mount namespace; else it stays until it is
taken back, and that a killed build can't do.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Final

from lab import files
from lab.artifact import REPOSITORY
from lab.command import run

FORMATS: Final = {
    "arm64": "qemu-aarch64",
    "riscv64": "qemu-riscv64",
    "ppc64el": "qemu-ppc64le",
    "s390x": "qemu-s390x",
}
"""What systemd's binfmt.d and the kernel call the emulation of an architecture."""
_REGISTRY: Final = Path("/proc/sys/fs/binfmt_misc")
# Like the registry they are the machine's: of all labs' builds, the last one takes the entry back.
_MARKS: Final = Path("/run")
_BUILDS: Final = ("build-root.sh", "build-published-root.sh")
"""The programs that run another architecture's programs."""
_SECONDS: Final = 60


def is_needed(architecture: str) -> bool:
    """False for this machine's own architecture, and for those whose programs it can't run."""
    return FORMATS.get(architecture, "") not in ("", f"qemu-{platform.machine()}")


def command(architecture: str, *words: str | Path) -> list[str | Path]:
    """What registers an architecture's emulation and becomes the command of ``words``; to be run in the repository."""
    return ["unshare", "--mount", sys.executable, "-m", "lab.images", architecture, *words]


def release() -> None:
    """Take back what builds registered, killed ones too, where none of them lives.

    Raises:
        CommandError: it can't be.
    """
    for architecture in FORMATS:
        if _mark(architecture).exists():
            run(*command(architecture), limit=_SECONDS, cwd=REPOSITORY)


def register(architecture: str) -> None:
    """Register an architecture's emulation, unless it is, and mark it as the lab's."""
    entry = _entry(architecture)
    if not entry.exists():
        run("/usr/lib/systemd/systemd-binfmt", f"{FORMATS[architecture]}.conf", limit=_SECONDS)
        files.write(_mark(architecture), _identity(entry))


def take_back(architecture: str) -> None:
    """Take the lab's entry back, if no build uses it; what the machine had, or others registered since, stays."""
    mark, entry = _mark(architecture), _entry(architecture)
    if not mark.exists() or in_use(architecture):
        return
    if entry.exists() and _identity(entry) == mark.read_text():
        entry.write_text("-1")
    mark.unlink()


def in_use(architecture: str) -> bool:
    """True while a process other than this builds, or is about to build, a root file system of an architecture."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = [os.fsdecode(word) for word in path.read_bytes().split(b"\0")]
            if int(path.parent.name) != os.getpid() and any(
                PurePath(word).name in _BUILDS and of == architecture for word, of in itertools.pairwise(words)
            ):
                return True
    return False


def _entry(architecture: str) -> Path:
    return _REGISTRY / FORMATS[architecture]


def _mark(architecture: str) -> Path:
    return _MARKS / f"q8s-{FORMATS[architecture]}"


def _identity(entry: Path) -> str:
    """When an entry was registered: one that was registered anew under its name is another."""
    return str(entry.stat().st_ctime_ns)


def main(architecture: str, *words: str) -> None:
    """Take back what a killed build left; then register the emulation and become the command, if one is given.

    Args:
        architecture: one of :data:`FORMATS`.
        words: the command, a build by one of :data:`_BUILDS`.
    """
    if not (_REGISTRY / "register").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", _REGISTRY, limit=_SECONDS)
    registry = os.open(_REGISTRY, os.O_RDONLY)
    try:
        # No other takes the entry back between the look for it and the registration; it is held for a moment only.
        fcntl.flock(registry, fcntl.LOCK_EX)
        take_back(architecture)
        if words:
            register(architecture)
    finally:
        os.close(registry)
    if words:
        os.execvp(words[0], words)
