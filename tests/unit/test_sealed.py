"""A sealed file is read whole and as it was written, or not at all."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from q8s_infra.hostkeys import snapshot_key
from q8s_infra.sealed import SealError, contents, written
from tests.unit.snapshots import OTHER, SEED

HEADER, CHUNK = 15 + 32, (1 << 16) + 16


def sealed(path: Path, content: bytes) -> bytes:
    """A sealed file, written in pieces of another size than its chunks."""
    with written(path, SEED) as file:
        for start in range(0, len(content), 50_000):
            file.write(content[start : start + 50_000])
    return path.read_bytes()


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3 * 65_536, 300_000])
def test_content_of_any_size_comes_back(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    file = sealed(tmp_path / "file", content)
    assert b"".join(contents(tmp_path / "file", SEED)) == content
    assert size < 16 or content[:16] not in file


def test_the_same_content_is_another_file(tmp_path: Path) -> None:
    assert sealed(tmp_path / "a", b"x")[HEADER:] != sealed(tmp_path / "b", b"x")[HEADER:]


def chunks(data: bytes) -> list[bytes]:
    return [data[start : start + CHUNK] for start in range(HEADER, len(data), CHUNK)]


def flipped(at: int) -> Callable[[bytes, bytes], bytes]:
    return lambda file, _: file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]


CHANGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "cut off within a chunk": lambda file, _: file[:-1],
    "cut off after a chunk": lambda file, _: file[: HEADER + 2 * CHUNK],
    "cut off in its last tag": lambda file, _: file[: HEADER + 3 * CHUNK + 5],
    "nothing but its header": lambda file, _: file[:HEADER],
    "cut off in its header": lambda file, _: file[:20],
    "empty": lambda *_: b"",
    "added to": lambda file, _: file + b"x",
    "two in one": lambda file, _: file + file[HEADER:],
    "its last chunk twice": lambda file, _: file + chunks(file)[-1],
    "in another order": lambda file, _: file[:HEADER] + b"".join(chunks(file)[i] for i in (1, 0, 2, 3)),
    "without a chunk": lambda file, _: file[:HEADER] + b"".join(chunks(file)[i] for i in (0, 2, 3)),
    "without its first chunk": lambda file, _: file[:HEADER] + b"".join(chunks(file)[1:]),
    "a chunk of another file of this stack": lambda file, other: (
        file[:HEADER] + b"".join([chunks(other)[0], *chunks(file)[1:]])
    ),
    "the header of another file": lambda file, other: other[:HEADER] + file[HEADER:],
    "its salt flipped": flipped(20),
    "its format flipped": flipped(13),
    "its first byte flipped": flipped(HEADER),
    "its last byte flipped": flipped(-1 + HEADER + 3 * CHUNK + 1016),
    "a middle byte flipped": flipped(HEADER + CHUNK + 77),
    "another file": lambda *_: b"PK\x03\x04" + bytes(100_000),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_file_is_refused(tmp_path: Path, change: Callable[[bytes, bytes], bytes]) -> None:
    file, other = (sealed(tmp_path / name, os.urandom(3 * 65_536 + 1000)) for name in ("file", "other"))
    changed = tmp_path / "changed"
    changed.write_bytes(change(file, other))
    assert changed.read_bytes() != file
    with pytest.raises(SealError):
        list(contents(changed, SEED))


def test_a_file_of_another_stack_is_refused(tmp_path: Path) -> None:
    sealed(tmp_path / "file", b"x")
    with pytest.raises(SealError):
        list(contents(tmp_path / "file", OTHER))


@pytest.mark.parametrize("seed", [SEED, OTHER])
def test_a_file_of_an_earlier_release_is_read_by_its_stack(tmp_path: Path, seed: str) -> None:
    token = Fernet(base64.urlsafe_b64encode(snapshot_key(SEED))).encrypt(b"content" * 30_000)
    for name, data in {"whole": token, "cut": token[:-4], "flipped": token[:99] + b"A" + token[100:]}.items():
        (tmp_path / name).write_bytes(data)
        if name == "whole" and seed == SEED:
            assert b"".join(contents(tmp_path / name, seed)) == b"content" * 30_000
        elif data != token or seed != SEED:
            with pytest.raises(SealError):
                list(contents(tmp_path / name, seed))


def test_a_file_is_for_its_owner_and_in_place_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first = sealed(path, b"x")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    with pytest.raises(FileExistsError, match="exists already"):
        sealed(path, b"y")
    assert path.read_bytes() == first


def test_a_file_that_comes_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def meanwhile() -> None:
        with written(path, SEED):
            path.write_bytes(b"another")

    with pytest.raises(FileExistsError):
        meanwhile()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"another")]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_that_is_not_finished_is_none(tmp_path: Path, error: type[BaseException]) -> None:
    def cut_off() -> None:
        with written(tmp_path / "file", SEED) as file:
            file.write(bytes(200_000))
            assert not (tmp_path / "file").exists()
            raise error

    with pytest.raises(error):
        cut_off()
    assert list(tmp_path.iterdir()) == []
