"""Verify a saved guest state: its manifest by the control plane's public key, its files by the manifest."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
CHUNK = 1 << 20


class NoState(Exception):
    """There is none to be had, and why."""


def verified(public: Path, path: str, text: bytes) -> Mapping[str, Any]:
    """Return the files of a manifest that the control plane has signed for this state: sizes and SHA-256 by names.

    Args:
        public: file of the control plane's public key.
        path: the state's, TYPE/KEY.
        text: the manifest and its signature.

    Raises:
        NoState: it is spoiled, forged, or another state's.
    """
    try:
        signed = json.loads(text)
        manifest, signature = str(signed["manifest"]).encode(), base64.b64decode(signed["signature"])
    except (ValueError, KeyError, TypeError):
        raise NoState("its manifest is spoiled, or an earlier release's") from None
    with tempfile.NamedTemporaryFile() as file:
        file.write(signature)
        file.flush()
        command = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", file.name]
        try:
            verified = subprocess.run(command, input=manifest, check=False, capture_output=True).returncode == 0
        except FileNotFoundError:
            raise NoState("this host has no openssl to verify it with") from None
    if not verified:
        raise NoState("it is not signed with this cluster's key")
    found: dict[str, Any] = json.loads(manifest)
    if found["state"] != path:
        raise NoState(f"it is the state {found['state']}, and not {path}")
    files: dict[str, Any] = found["files"]
    return files


def compare(name: str, expected: str, found: str) -> None:
    """Compare SHA-256 sums of a file.

    Raises:
        NoState: they differ.
    """
    if found != expected:
        raise NoState(f"{name} of it is spoiled: SHA-256 {found} instead of {expected}")


def checksum(path: Path) -> str:
    """Return a file's SHA-256."""
    read = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            read.update(chunk)
    return read.hexdigest()


def generation(folder: Path) -> int:
    """Return which of the states of its name this is.

    Raises:
        NoState: its manifest does not say.
    """
    try:
        return int(json.loads(json.loads((folder / MANIFEST).read_text())["manifest"])["generation"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoState(f"it has no manifest: {error}") from error
