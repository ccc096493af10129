from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import files, lock
from lab.artifact import REPOSITORY
from lab.services import LabError

HOLD = """
import sys, time
from pathlib import Path
from lab import lock
with lock.held(Path(sys.argv[1]), "it", seconds=0):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    words = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def test_a_lock_names_who_holds_it(tmp_path: Path) -> None:
    with (
        holder(tmp_path / "lock") as other,
        pytest.raises(LabError, match=rf"the lab is in use by process {other.pid} .* of {REPOSITORY}"),
        lock.held(tmp_path / "lock", "the lab", seconds=0),
    ):
        pass


def test_who_waits_says_so_and_gets_the_lock_of_a_killed_holder(tmp_path: Path) -> None:
    told: list[str] = []
    with holder(tmp_path / "lock") as other:

        def kill(text: str) -> None:
            told.append(text)
            os.kill(other.pid, signal.SIGKILL)

        with lock.held(tmp_path / "lock", "the lab", seconds=30, waiting=kill):
            assert str(os.getpid()) in (tmp_path / "lock").read_text()
    assert len(told) == 1


def test_a_lock_is_free_after_its_body(tmp_path: Path) -> None:
    for _ in range(2):
        with lock.held(tmp_path / "new" / "lock", "it", seconds=0):
            assert (tmp_path / "new" / "lock").exists()


def test_a_file_is_replaced_whole_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("former")
    path.chmod(0o644)
    files.write(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_former_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("former")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, "new")
    assert path.read_text() == "former"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
