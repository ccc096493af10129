"""The machine's limit of inotify instances: raised by the first lab that needs it so, restored by the last."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.hosts import lifecycle


@pytest.fixture(autouse=True)
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's limit of 128."""
    path = tmp_path / "max_user_instances"
    path.write_text("128\n")
    monkeypatch.setattr(lifecycle, "_INOTIFY", path)
    monkeypatch.setattr(lifecycle, "_INOTIFY_NOTE", tmp_path / "note")
    return path


@pytest.fixture
def labs(tmp_path: Path) -> tuple[Path, Path]:
    """The folders of two labs."""
    first, second = tmp_path / "first", tmp_path / "second"
    for lab in (first, second):
        lab.mkdir()
    return first, second


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the first", "the second"])
def test_it_stays_raised_until_both_labs_are_down(limit: Path, labs: tuple[Path, Path], order: tuple[int, int]) -> None:
    for lab in labs:
        lifecycle.raise_limits(lab)
    lifecycle.stop_all(labs[order[0]])
    assert int(limit.read_text()) == 8192
    lifecycle.stop_all(labs[order[1]])
    assert int(limit.read_text()) == 128
    assert not lifecycle._INOTIFY_NOTE.exists()


def test_a_lab_may_say_so_again_and_be_stopped_again(limit: Path, labs: tuple[Path, Path]) -> None:
    for _ in range(2):
        lifecycle.raise_limits(labs[0])
    assert int(limit.read_text()) == 8192
    lifecycle.stop_all(labs[0])
    limit.write_text("256")
    lifecycle.stop_all(labs[0])
    assert int(limit.read_text()) == 256


def test_a_lab_without_a_folder_keeps_nothing_raised(limit: Path, labs: tuple[Path, Path]) -> None:
    for lab in labs:
        lifecycle.raise_limits(lab)
    labs[1].rmdir()
    lifecycle.stop_all(labs[0])
    assert int(limit.read_text()) == 128


def test_a_higher_limit_is_the_machines_own(limit: Path, labs: tuple[Path, Path]) -> None:
    limit.write_text("65536")
    lifecycle.raise_limits(labs[0])
    lifecycle.stop_all(labs[0])
    assert limit.read_text() == "65536"
