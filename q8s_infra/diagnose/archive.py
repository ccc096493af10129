"""All that was collected, in one file that only its owner reads."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path


def write_archive(path: Path, documents: Mapping[str, str], redacted: Callable[[str], str]) -> None:
    """Write documents as a tar.gz, mode 0600, without their secrets.

    Args:
        path: the file.
        documents: texts by their path in the archive.
        redacted: removes secrets from a text, see :class:`q8s_infra.diagnose.redact.Redactor`.

    Raises:
        FileExistsError: there is such a file; nothing is overwritten.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, text in sorted(documents.items()):
            data = redacted(text).encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
