"""The registration of another architecture's emulation: taken back where it is the lab's and no build uses it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import teardown
from lab.architectures import GUESTS
from lab.artifact import Builder, BuildError
from lab.images import foreign, guest, image, published

ENTRY = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\n"
WAIT = "import sys; sys.stdin.read()"
BUILDS = foreign._BUILDS
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the entry is, in a registry of the test's own; what is registered gets there by a stand-in of systemd's."""
    registry, marks = tmp_path / "registry", tmp_path / "marks"
    for folder in (registry, marks):
        folder.mkdir()
    (registry / "register").touch()
    path = registry / foreign.FORMATS["arm64"]
    monkeypatch.setattr(foreign, "_REGISTRY", registry)
    monkeypatch.setattr(foreign, "_MARKS", marks)
    # A build of the machine's own is none of the test's.
    monkeypatch.setattr(foreign, "_BUILDS", ("other.sh", f"{tmp_path.name}.sh"))
    monkeypatch.setattr(foreign, "run", lambda *_, **__: path.write_text(ENTRY))
    return path


@pytest.fixture
def build(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A build that is going on."""
    words = [sys.executable, "-c", WAIT, "unshare", f"/lab/images/{tmp_path.name}.sh", "arm64", "trixie"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()
        process.wait(10)


def marks() -> list[str]:
    return [path.name for path in foreign._MARKS.iterdir()]


def test_what_a_killed_build_left_is_taken_back(entry: Path) -> None:
    foreign.register("arm64")
    assert entry.read_text() == ENTRY
    assert marks() == ["q8s-qemu-aarch64"]
    foreign.take_back("arm64")
    assert entry.read_text() == "-1"
    assert marks() == []


def test_what_the_machine_has_stays(entry: Path) -> None:
    entry.write_text("the machine's")
    foreign.register("arm64")
    foreign.take_back("arm64")
    assert entry.read_text() == "the machine's"
    assert marks() == []


def test_what_was_registered_anew_by_others_stays(entry: Path) -> None:
    foreign.register("arm64")
    entry.unlink()
    entry.write_text(ENTRY)
    foreign.take_back("arm64")
    assert entry.read_text() == ENTRY
    assert marks() == []


def test_an_entry_that_went_by_itself_leaves_no_mark(entry: Path) -> None:
    foreign.register("arm64")
    entry.unlink()
    foreign.take_back("arm64")
    assert marks() == []


def test_what_a_living_build_uses_stays_until_its_end(entry: Path, build: subprocess.Popen[bytes]) -> None:
    foreign.register("arm64")
    foreign.take_back("arm64")
    assert entry.read_text() == ENTRY
    assert marks() == ["q8s-qemu-aarch64"]
    build.kill()
    build.wait(10)
    foreign.take_back("arm64")
    assert entry.read_text() == "-1"


def test_every_script_that_builds_an_image_counts_as_a_build() -> None:
    assert {guest._SCRIPT, published._SCRIPT} == set(BUILDS)


def test_a_killed_builds_entry_is_gone_before_the_next_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign.register("arm64")
    done: list[str] = []
    monkeypatch.setattr(foreign, "take_back", lambda architecture: done.append(f"take back {architecture}"))
    monkeypatch.setattr(foreign, "register", lambda architecture: done.append(f"register {architecture}"))
    monkeypatch.setattr("os.execvp", lambda *words: done.append(str(words)))
    foreign.main("arm64", "true", "1")
    assert done == ["take back arm64", "register arm64", "('true', ('true', '1'))"]
    foreign.main("arm64")
    assert done[3:] == ["take back arm64"]


def test_taking_a_lab_down_takes_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(foreign, "run", lambda *words, **_: ran.append(" ".join(map(str, words))))
    teardown.clear()
    assert ran == []
    (foreign._MARKS / "q8s-qemu-aarch64").touch()
    teardown.clear()
    assert ran == [f"unshare --mount {sys.executable} -m lab.images arm64"]


def test_a_failed_build_takes_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[bool] = []
    monkeypatch.setattr(foreign, "release", lambda: released.append(True))
    monkeypatch.setattr(foreign, "is_needed", lambda _: True)
    monkeypatch.setattr(foreign, "command", lambda *_: ["false"])
    with pytest.raises(BuildError):
        image.build_root(Builder(out=tmp_path, log=tmp_path / "log"), "arm64", tmp_path, "build-root.sh")
    assert released == [True]


def test_only_what_this_machine_cant_run_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert [foreign.is_needed(each) for each in GUESTS] == [False, True]
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert [foreign.is_needed(each) for each in GUESTS] == [False, False]
