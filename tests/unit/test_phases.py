from __future__ import annotations

import importlib.util
import os
import re
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from lab.artifact import REPOSITORY


@pytest.fixture(scope="module")
def phases() -> ModuleType:
    """The script of the test run, which is no package's."""
    spec = importlib.util.spec_from_file_location("phases", REPOSITORY / ".ci/phases.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["phases"] = module
    spec.loader.exec_module(module)
    return module


def shell(phases: ModuleType, script: str, *, name: str = "one", limit: int = 20, always: bool = False) -> object:
    return phases.Phase(name, limit, [["sh", "-c", script]], always=always)


def test_a_phase_has_a_start_an_end_a_time_and_a_log(
    phases: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert phases.run_all([shell(phases, "echo much; echo '3 passed in 1 s'")], tmp_path / "logs") == 0
    first, last, _, total = capsys.readouterr().out.splitlines()
    assert first == f"==> one (at most 20 s, log {tmp_path}/logs/one.log)"
    assert re.fullmatch(r"<== one passed in \d+ s: 3 passed in 1 s", last)
    assert total == "phases: 1 passed, 0 failed"
    assert "much\n" in (tmp_path / "logs/one.log").read_text()


def test_a_failure_ends_the_run_with_its_log_and_the_way_to_repeat_it(
    phases: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = [
        shell(phases, "seq -f 'line %g' 100; exit 3", name="bad"),
        shell(phases, f"touch {tmp_path}/next", name="next"),
        shell(phases, f"touch {tmp_path}/down", name="down", always=True),
    ]
    assert phases.run_all(wanted, tmp_path / "logs") == 1
    lines = capsys.readouterr().out.splitlines()
    shown = [line for line in lines if line.startswith("line ")]
    assert shown == [f"line {number}" for number in range(61, 101)]
    assert any(line.startswith("<== bad FAILED") and line.endswith("exited 3") for line in lines)
    assert "    alone: make phase NAME=bad" in lines
    assert not (tmp_path / "next").exists()
    assert (tmp_path / "down").exists()
    assert lines[-1] == "phases: 1 passed, 1 failed"


def test_a_phase_past_its_limit_is_ended_with_all_that_it_started(
    phases: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(phases, "GRACE_SECONDS", 1)
    deaf = f"trap '' INT; sleep 300 & echo $! >{tmp_path}/child; wait"
    assert phases.run_all([shell(phases, deaf, limit=3)], tmp_path / "logs") == 1
    assert "took longer than its limit" in capsys.readouterr().out
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 10
    while _alive(child):
        assert time.monotonic() < end, "the grandchild lives on"
        time.sleep(0.05)


def test_a_long_phase_says_where_it_is(
    phases: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(phases, "BEAT_SECONDS", 0.2)
    assert phases.run_all([shell(phases, "echo halfway; sleep 1")], tmp_path / "logs") == 0
    assert "s: halfway" in capsys.readouterr().out


def test_an_unknown_phase_is_refused_with_those_that_there_are(
    phases: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        phases.main(["units"])
    assert refused.value.code == 2
    assert "no such phase: units; there are environment, lint, types" in capsys.readouterr().err


def test_every_test_is_in_a_phase(phases: ModuleType) -> None:
    words = [word for phase in phases.phases(own_lab=True) for command in phase.commands for word in command]
    there = {f"tests/{path.name}" for path in (REPOSITORY / "tests").iterdir() if any(path.glob("test_*.py"))}
    assert there == {word for word in words if word.startswith("tests/")}


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_caches_outlive_the_clone(phases: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(os.environ, "Q8S_CACHE", str(tmp_path))
    variables = phases.environment()
    assert Path(variables["MYPY_CACHE_DIR"]).is_relative_to(tmp_path)
    assert Path(variables["RUFF_CACHE_DIR"]).is_relative_to(tmp_path)


def test_contributors_are_told_every_phase(phases: ModuleType) -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    section = text.partition("## Tests\n")[2].partition("\n## ")[0]
    names = [
        name
        for name in re.findall(r"`([a-z-]+)`", section)
        if name in {each.name for each in phases.phases(own_lab=True)}
    ]
    assert list(dict.fromkeys(names)) == [each.name for each in phases.phases(own_lab=False)]
