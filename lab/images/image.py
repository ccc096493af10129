"""What all guest images have in common: a root file system in a folder, and a disk image of it with its SHA256SUMS."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lab import apt
from lab.architectures import suite
from lab.artifact import REPOSITORY, Builder, cache_root
from lab.images import foreign
from lab.mirrors.authority import AUTHORITIES, AUTHORITY

APT_PACKAGES: Final = (
    "mmdebstrap", "mtools", "dosfstools", "fdisk", "e2fsprogs", "qemu-utils", "grub-pc-bin", "grub-common", "cpio",
    "zstd", "xz-utils", "qemu-user-static", "arch-test", "util-linux",
)  # fmt: skip
"""What the machine needs to build the images."""
HERE: Final = Path(__file__).parent
RECIPE: Final = tuple(HERE / name for name in ("bios_boot.py", "build-disk.sh", "nobodys.sh", "zipl-init.sh"))
"""Files that every image is made by."""


@contextmanager
def folders() -> Iterator[tuple[Path, Path]]:
    """A folder to work in, and one in it for a root file system."""
    with tempfile.TemporaryDirectory(prefix="guest-", dir=cache_root()) as folder:
        work = Path(folder)
        try:
            yield work, work / "rootfs"
        finally:
            shutil.rmtree(work / "rootfs", ignore_errors=True)


def build_root(builder: Builder, architecture: str, root: Path, script: str, *arguments: str | Path) -> None:
    """Make a root file system.

    Args:
        builder: runs the commands.
        architecture: Debian's name.
        root: where it goes.
        script: what makes it, in this folder: called with architecture, suite, ``root``, the arguments, the lab's
            authority, and the addresses of the archive and of security updates (may be empty).
        arguments: the script's own.
    """
    words: list[str | Path] = [
        HERE / script, architecture, suite(architecture), root, *arguments,
        AUTHORITIES.path / AUTHORITY, apt.mirror(), apt.security_mirror() or "",
    ]  # fmt: skip
    if not foreign.is_needed(architecture):
        builder.run(*words)
        return
    try:
        builder.run(*foreign.command(architecture, *words), cwd=REPOSITORY)
    finally:
        foreign.release()


def write(builder: Builder, name: str, architecture: str, root: Path, work: Path, *init: Path) -> None:
    """Write the image of a root file system, and its checksum beside it.

    Args:
        builder: runs the commands; the image is its result.
        name: the image's file name.
        architecture: Debian's name.
        root: the root file system.
        work: a folder for what is in between.
        init: the only program of an initramfs for emulated CPUs; without, the root's own is taken.
    """
    builder.run(HERE / "build-disk.sh", architecture, root, work, builder.out / name, *init)
    digest = hashlib.sha256((builder.out / name).read_bytes()).hexdigest()
    (builder.out / "SHA256SUMS").write_text(f"{digest}  {name}\n")
