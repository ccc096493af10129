"""The guest images that most tests boot: trimmed for emulated CPUs."""

from __future__ import annotations

from functools import partial
from typing import Final

from lab.architectures import FURTHER, GUESTS, go_name, suite
from lab.artifact import REPOSITORY, Artifact, Builder, cache_root
from lab.images.image import HERE, RECIPE, build_root, folders, write
from lab.mirrors.authority import AUTHORITIES

_SCRIPT: Final = "build-root.sh"
_FILES: Final = HERE / "files"
_INIT: Final = REPOSITORY / "lab" / "go" / "guest-init"


def image_name(architecture: str) -> str:
    """File name of an image."""
    return f"q8s-guest-{architecture}.qcow2"


def _build(architecture: str, builder: Builder) -> None:
    with folders() as (work, root):
        init = work / "init"
        builder.run(
            "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", init, ".",
            cwd=_INIT,
            env={"CGO_ENABLED": "0", "GOARCH": go_name(architecture), "GOCACHE": str(cache_root() / "go-build")},
        )  # fmt: skip
        build_root(builder, architecture, root, _SCRIPT, _FILES)
        write(builder, image_name(architecture), architecture, root, work, init)


def _artifacts(architectures: tuple[str, ...]) -> dict[str, Artifact]:
    return {
        architecture: Artifact(
            name=f"guest-image-{architecture}",
            build=partial(_build, architecture),
            files=(*RECIPE, HERE / _SCRIPT, _FILES, _INIT),
            needs=(AUTHORITIES,),
            pins=(suite(architecture), architecture),
        )
        for architecture in architectures
    }


GUEST_IMAGES: Final = _artifacts(GUESTS)
FURTHER_IMAGES: Final = _artifacts(FURTHER)
"""Built when asked for."""
ARTIFACTS: Final = tuple(GUEST_IMAGES.values())
