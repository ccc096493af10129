from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from lab import demo, layout

NODE = {
    "metadata": {
        "name": "demo-control-plane-0",
        "labels": {"kubernetes.io/arch": "amd64"},
    },
    "status": {
        "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "10.254.1.123"}],
    },
}


@pytest.mark.parametrize("width", [80, 200])
def test_a_node_is_one_line(width: int) -> None:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(demo.nodes_table([NODE]))
    (line,) = [each for each in captured.get().splitlines() if "demo-control-plane-0" in each]
    for word in ("True", "control plane", "amd64", "10.254.1.123"):
        assert word in line


def test_whatever_fails_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise ZeroDivisionError("no nodes")

    monkeypatch.setattr(demo, "cli", fails)
    monkeypatch.setattr(layout, "LOGS", tmp_path)
    monkeypatch.setattr(demo, "console", Console(width=200))
    assert demo.main() == 1
    said = capsys.readouterr().out
    assert "error: ZeroDivisionError: no nodes" in said
    assert "Traceback" not in said
    assert "Traceback" in (tmp_path / "demo.log").read_text()
