"""Container images without a container engine: an OCI image layout is written from directories and executables.

Source of the format: the OCI image specification, version 1.1.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Layer:
    """What one layer adds.

    Attributes:
        tree: a directory whose content goes to the root, links as they are.
        files: executables to add: path in the image, without the leading slash, to where they are.
        links: symbolic links to add: path in the image to target.
    """

    tree: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """An image for some architectures.

    Attributes:
        layers: by architecture (the OCI's name), lowest first.
        entrypoint: the image's entry point; none where empty.
        command: its default arguments.
    """

    layers: Mapping[str, Sequence[Layer]]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()


def write_layout(image: Image, directory: Path) -> None:
    """Write an image as an OCI layout.

    Args:
        image: the image.
        directory: is made; its index names one index of all architectures.
    """
    layout = _Layout(directory)
    manifests = [
        {**layout.manifest(image, architecture, layers), "platform": {"architecture": architecture, "os": "linux"}}
        for architecture, layers in image.layers.items()
    ]
    index = layout.json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}, _INDEX)
    (directory / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [index]}))


class _Layout:
    """The blobs of a layout."""

    def __init__(self, directory: Path) -> None:
        self._blobs = directory / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)

    def manifest(self, image: Image, architecture: str, layers: Sequence[Layer]) -> dict[str, Any]:
        tars = [_tar(layer) for layer in layers]
        descriptors = [self._blob(gzip.compress(content, 1, mtime=0), _LAYER) for content in tars]
        runtime = {"Env": [_PATH], "Entrypoint": list(image.entrypoint), "Cmd": list(image.command)}
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {name: value for name, value in runtime.items() if value},
            "rootfs": {"type": "layers", "diff_ids": [_digest(content) for content in tars]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self.json(config, _CONFIG),
            "layers": descriptors,
        }
        return self.json(manifest, _MANIFEST)

    def json(self, content: Mapping[str, Any], media_type: str) -> dict[str, Any]:
        return self._blob(json.dumps(content).encode(), media_type)

    def _blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        digest = _digest(content)
        (self._blobs / digest.removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _tar(layer: Layer) -> bytes:
    """A layer's tar, the same for the same content: sorted, owned by root, no times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        if layer.tree:
            for path in sorted(layer.tree.rglob("*")):
                archive.add(path, str(path.relative_to(layer.tree)), recursive=False, filter=_plain)
        for parent in sorted({str(folder) for name in layer.files for folder in list(Path(name).parents)[:-1]}):
            archive.addfile(_plain(_member(parent, tarfile.DIRTYPE)))
        for name, source in layer.files.items():
            member = archive.gettarinfo(str(source), name)
            member.mode = 0o755
            with source.open("rb") as content:
                archive.addfile(_plain(member), content)
        for name, target in layer.links.items():
            member = _member(name, tarfile.SYMTYPE)
            member.linkname = target
            archive.addfile(_plain(member))
    return buffer.getvalue()


def _member(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.mode = 0o755
    return member


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = 0
    return member
