"""The guest images as artifacts: a qcow2 file with its SHA256SUMS."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from lab import apt, versions
from lab.artifact import REPOSITORY, Artifact, Builder, cache_root
from lab.images import foreign

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
    """File name of an image."""
    return f"q8s-guest-{architecture}.qcow2"


def _build_root(builder: Builder, architecture: str, root: Path) -> None:
    words: list[str | Path] = [
        _HERE / "with-foreign-binaries.sh", architecture,
        _HERE / "build-root.sh", architecture, versions.GUEST_SUITE, root, _HERE / "files",
        apt.mirror(), apt.security_mirror() or "",
    ]  # fmt: skip
    if not foreign.is_needed(architecture):
        builder.run("unshare", "--mount", *words)
        return
    try:
        builder.run(*foreign.command(architecture, *words), cwd=REPOSITORY)
    finally:
        foreign.release()


def _build(architecture: str, builder: Builder) -> None:
    image = builder.out / image_name(architecture)
    with tempfile.TemporaryDirectory(prefix="guest-", dir=cache_root()) as folder:
        work = Path(folder)
        root, init = work / "rootfs", work / "init"
        builder.run(
            "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", init, ".",
            cwd=_INIT,
            env={"CGO_ENABLED": "0", "GOARCH": architecture, "GOCACHE": str(cache_root() / "go-build")},
        )  # fmt: skip
        try:
            _build_root(builder, architecture, root)
            builder.run(_HERE / "build-disk.sh", architecture, root, init, work, image)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    (builder.out / "SHA256SUMS").write_text(f"{digest}  {image.name}\n")


GUEST_IMAGES: Final = {
    architecture: Artifact(
        name=f"guest-image-{architecture}",
        build=partial(_build, architecture),
        files=(*_RECIPE, _INIT),
        pins=(versions.GUEST_SUITE, architecture),
    )
    for architecture in ARCHITECTURES
}
ARTIFACTS: Final = tuple(GUEST_IMAGES.values())
