"""Guest images as a distribution publishes them; built when asked for, on nobody's way to a lab."""

from __future__ import annotations

from functools import partial
from typing import Final

from lab.architectures import GUESTS, suite
from lab.artifact import Artifact, Builder
from lab.images.image import HERE, RECIPE, build_root, folders, write
from lab.mirrors.authority import AUTHORITIES

_SCRIPT: Final = "build-published-root.sh"


def published_name(architecture: str) -> str:
    """File name of an image."""
    return f"q8s-published-{architecture}.qcow2"


def _build(architecture: str, builder: Builder) -> None:
    with folders() as (work, root):
        build_root(builder, architecture, root, _SCRIPT)
        write(builder, published_name(architecture), architecture, root, work)


PUBLISHED_IMAGES: Final = {
    architecture: Artifact(
        name=f"published-image-{architecture}",
        build=partial(_build, architecture),
        files=(*RECIPE, HERE / _SCRIPT),
        needs=(AUTHORITIES,),
        pins=(suite(architecture), architecture),
    )
    for architecture in GUESTS
}
ARTIFACTS: Final = (AUTHORITIES, *PUBLISHED_IMAGES.values())
