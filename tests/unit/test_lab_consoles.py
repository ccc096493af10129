from __future__ import annotations

from pathlib import Path

import pytest

from lab import consoles
from lab.consoles import Consoles
from lab.hosts.host import Folders, Host


@pytest.fixture
def console(tmp_path: Path) -> Path:
    """The console of the one guest, on its host."""
    host = Host("u-1", "instance-1", "demo-x86-small-0", 2048)
    folder = Folders.of(host, tmp_path).var / "log/q8s"
    folder.mkdir(parents=True)
    host.save(tmp_path)
    (folder / "console.log").write_text("\x1b[2J[    0.0] Linux\r\n\r\n")
    return folder / "console.log"


def test_each_step_is_told_once(console: Path, tmp_path: Path) -> None:
    told: list[str] = []
    with Consoles(tmp_path, told.append) as watched:
        for text in ("38.12 q8s: payload\r\n", "", "44.90 q8s: network\r\n52.01 q8s: containerd\r\n"):
            with console.open("a") as file:
                file.write(text)
            watched.look()
    assert told == [
        "demo-x86-small-0: guest, payload after 38 s",
        "demo-x86-small-0: guest, containerd after 52 s",
    ]


def test_what_an_earlier_run_left_is_no_news(console: Path, tmp_path: Path) -> None:
    told: list[str] = []
    console.write_text("60.00 q8s: joined\n")
    with Consoles(tmp_path, told.append) as watched:
        watched.look()
    assert told == []


def test_a_guest_without_a_step_is_told_of_after_a_while(
    console: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    console.unlink()
    with Consoles(tmp_path, told.append) as watched:
        monkeypatch.setattr(consoles, "_QUIET_SECONDS", 0.0)
        console.write_text("\x1b[2J\x1b[!p\x1b]104\x07[    0.0] Linux\r\n\r\n")
        watched.look()
    assert told == ["demo-x86-small-0: guest boots: [    0.0] Linux"]
