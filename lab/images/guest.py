"""The guest images as artifacts: a qcow2 file with its SHA256SUMS.

Of each architecture there are two: one trimmed for emulated CPUs, which most tests boot, and one as published.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from lab import apt, versions
from lab.artifact import REPOSITORY, Artifact, Builder, cache_root
from lab.images import foreign
from lab.mirrors.authority import AUTHORITIES, AUTHORITY

ARCHITECTURES: Final = ("amd64", "arm64")
APT_PACKAGES: Final = (
    "mmdebstrap", "mtools", "dosfstools", "fdisk", "e2fsprogs", "qemu-utils", "grub-pc-bin", "grub-common", "cpio",
    "zstd", "xz-utils", "qemu-user-static", "arch-test", "util-linux",
)  # fmt: skip
"""What the machine needs to build the images."""

_HERE: Final = Path(__file__).parent
_RECIPE: Final = (*sorted(_HERE.glob("*.sh")), _HERE / "bios_boot.py", _HERE / "files")
_INIT: Final = REPOSITORY / "lab" / "go" / "guest-init"


def image_name(architecture: str) -> str:
    """File name of a trimmed image."""
    return f"q8s-guest-{architecture}.qcow2"


def published_name(architecture: str) -> str:
    """File name of an image as published ones are."""
    return f"q8s-published-{architecture}.qcow2"


def _build_root(builder: Builder, architecture: str, root: Path, *recipe: str | Path) -> None:
    words: list[str | Path] = [
        _HERE / "with-foreign-binaries.sh", architecture,
        _HERE / recipe[0], architecture, versions.GUEST_SUITE, root, *recipe[1:],
        AUTHORITIES.path / AUTHORITY, apt.mirror(), apt.security_mirror() or "",
    ]  # fmt: skip
    if not foreign.is_needed(architecture):
        builder.run("unshare", "--mount", *words)
        return
    try:
        builder.run(*foreign.command(architecture, *words), cwd=REPOSITORY)
    finally:
        foreign.release()


def _build(architecture: str, builder: Builder) -> None:
    with _work() as (work, root):
        init = work / "init"
        builder.run(
            "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", init, ".",
            cwd=_INIT,
            env={"CGO_ENABLED": "0", "GOARCH": architecture, "GOCACHE": str(cache_root() / "go-build")},
        )  # fmt: skip
        _build_root(builder, architecture, root, "build-root.sh", _HERE / "files")
        _write(builder, image_name(architecture), architecture, root, work, init)


def _build_published(architecture: str, builder: Builder) -> None:
    with _work() as (work, root):
        _build_root(builder, architecture, root, "build-published-root.sh")
        _write(builder, published_name(architecture), architecture, root, work)


@contextmanager
def _work() -> Iterator[tuple[Path, Path]]:
    """A folder to work in, and one in it for a root file system."""
    with tempfile.TemporaryDirectory(prefix="guest-", dir=cache_root()) as folder:
        work = Path(folder)
        try:
            yield work, work / "rootfs"
        finally:
            shutil.rmtree(work / "rootfs", ignore_errors=True)


def _write(builder: Builder, name: str, architecture: str, root: Path, work: Path, *init: Path) -> None:
    """The image made of a root file system, and its checksum."""
    builder.run(_HERE / "build-disk.sh", architecture, root, work, builder.out / name, *init)
    digest = hashlib.sha256((builder.out / name).read_bytes()).hexdigest()
    (builder.out / "SHA256SUMS").write_text(f"{digest}  {name}\n")


GUEST_IMAGES: Final = {
    architecture: Artifact(
        name=f"guest-image-{architecture}",
        build=partial(_build, architecture),
        files=(*_RECIPE, _INIT),
        needs=(AUTHORITIES,),
        pins=(versions.GUEST_SUITE, architecture),
    )
    for architecture in ARCHITECTURES
}
"""What most tests boot, by architecture."""

PUBLISHED_IMAGES: Final = {
    architecture: Artifact(
        name=f"published-image-{architecture}",
        build=partial(_build_published, architecture),
        files=_RECIPE,
        needs=(AUTHORITIES,),
        pins=(versions.GUEST_SUITE, architecture),
    )
    for architecture in ARCHITECTURES
}
"""As a distribution publishes them; built when asked for, on nobody's way to a lab."""

ARTIFACTS: Final = tuple(GUEST_IMAGES.values())
