"""How large a step's log on its host grows (hostscripts/lib.sh)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from q8s_infra.remote import HOSTSCRIPTS
from tests.unit.hostscript import LIMIT


@pytest.mark.parametrize(("size", "files"), [(4 << 20, ["host.log"]), ((4 << 20) + 1, ["host.log.1"])])
def test_log_above_its_limit_is_kept_once_and_begun_anew(tmp_path: Path, size: int, files: list[str]) -> None:
    (tmp_path / "host.log").write_bytes(b"x" * size)
    (tmp_path / "host.log.1").write_text("before")
    script = f"step_log={tmp_path}/host.log; eval \"$(sed -n '/^step_log_bytes=/,/^if/p' {HOSTSCRIPTS}/lib.sh)\""
    subprocess.run(["bash", "-eu", "-c", script], check=True, timeout=LIMIT)
    assert [path.name for path in tmp_path.iterdir() if path.stat().st_size == size] == files
