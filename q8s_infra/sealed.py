"""Files of any size that only the owner of a stack's seed reads, written and read in constant memory.

The format is age's payload ("STREAM"; https://age-encryption.org/v1, "Payload"): a header, then chunks of 64 KiB, each
sealed by ChaCha20-Poly1305 with a nonce of its number and of whether it is the last one. So chunks that are missing,
added, in another order, of another file or changed are all refused. Each file has a key of its own, derived from the
seed and the salt in its header. Files of earlier releases are one Fernet token, which has to be in memory whole.
"""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from q8s_infra.hostkeys import snapshot_file_key, snapshot_key

_MAGIC: Final = b"q8s snapshot 2\n"
_SALT_BYTES: Final = 32
_CHUNK_BYTES: Final = 1 << 16
_TAG_BYTES: Final = 16


class SealError(Exception):
    """A file is of another stack, or not as it was written."""


class _Cipher:
    """Seals or opens the chunks of one file in their order."""

    def __init__(self, seed: str, salt: bytes) -> None:
        self._cipher = ChaCha20Poly1305(snapshot_file_key(seed, salt))
        self._number = 0

    def _nonce(self, *, last: bool) -> bytes:
        self._number += 1
        return (self._number - 1).to_bytes(11, "big") + bytes([last])

    def seal(self, chunk: bytes, *, last: bool) -> bytes:
        return self._cipher.encrypt(self._nonce(last=last), chunk, _MAGIC)

    def unsealed(self, chunk: bytes, *, last: bool) -> bytes:
        return self._cipher.decrypt(self._nonce(last=last), chunk, _MAGIC)


class Sealer:
    """Writes a sealed file; it is whole after :meth:`finish`."""

    def __init__(self, file: IO[bytes], seed: str) -> None:
        salt = secrets.token_bytes(_SALT_BYTES)
        self._file, self._cipher, self._held = file, _Cipher(seed, salt), bytearray()
        file.write(_MAGIC + salt)

    def write(self, data: bytes) -> None:
        """Add content."""
        self._held += data
        # What may be the last chunk is held back.
        while len(self._held) > _CHUNK_BYTES:
            self._file.write(self._cipher.seal(bytes(self._held[:_CHUNK_BYTES]), last=False))
            del self._held[:_CHUNK_BYTES]

    def finish(self) -> None:
        """Write the last chunk, which says that it is the last."""
        self._file.write(self._cipher.seal(bytes(self._held), last=True))


@contextmanager
def written(path: Path, seed: str) -> Iterator[Sealer]:
    """A new sealed file for its owner alone, which appears under its name when it is whole.

    Raises:
        FileExistsError: there is a file of this name.
        OSError: it can't be written.
    """
    _refuse_existing(path)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False) as file:
        try:
            sealer = Sealer(file, seed)
            yield sealer
            sealer.finish()
            file.flush()
            os.fsync(file.fileno())
            _refuse_existing(path)
            Path(file.name).rename(path)
        finally:
            Path(file.name).unlink(missing_ok=True)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise FileExistsError(f"{path} exists already; nothing was changed. Choose another name with --output")


def contents(path: Path, seed: str) -> Iterator[bytes]:
    """The content of a sealed file, in pieces. Each piece is authentic; all of it is when this ends without an error.

    Raises:
        SealError: it is of another stack, or was changed, cut off or added to.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            yield _whole(magic + file.read(), seed)
            return
        cipher = _Cipher(seed, file.read(_SALT_BYTES))
        following = file.read(_CHUNK_BYTES + _TAG_BYTES)
        while True:
            chunk, following = following, file.read(_CHUNK_BYTES + _TAG_BYTES)
            try:
                piece = cipher.unsealed(chunk, last=not following)
            except InvalidTag:
                raise SealError from None
            yield piece
            if not following:
                return


def _whole(token: bytes, seed: str) -> bytes:
    """The content of a file of an earlier release."""
    try:
        return Fernet(base64.urlsafe_b64encode(snapshot_key(seed))).decrypt(token)
    except InvalidToken:
        raise SealError from None
