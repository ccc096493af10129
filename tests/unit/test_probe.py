"""A host counts as untouched only by its own word."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from q8s_infra import probe
from q8s_infra.hosts import HostError
from tests.unit.hostscript import stand_in


class Host:
    """A host that answers so, again and again."""

    def __init__(self, status: int | None, printed: str, *, reached: bool = True) -> None:
        self.answer, self.reached = SimpleNamespace(exit_status=status, stdout=printed), reached

    @asynccontextmanager
    async def at(self, name: str) -> AsyncIterator[Any]:
        if not self.reached:
            raise HostError(f"{name}: SSH")
        yield self

    async def run(self, command: str, timeout: float) -> Any:
        assert (command, timeout) == (probe._TRACES, probe._QUESTION_SECONDS)
        return self.answer


@pytest.mark.parametrize(
    ("host", "untouched"),
    [
        (Host(0, f"{probe._UNTOUCHED}\n"), True),
        (Host(9, ""), False),
        (Host(0, ""), False),
        # The connection broke, sudo is refused or not there: no answer.
        (Host(None, ""), False),
        (Host(1, ""), False),
        (Host(127, ""), False),
        (Host(0, "", reached=False), False),
    ],
)
def test_no_answer_is_no_evidence(host: Host, untouched: bool) -> None:
    hosts: Any = host
    # Not by asyncio.run, which leaves the thread without a loop for tests of the program.
    with closing(asyncio.new_event_loop()) as loop:
        asked = probe._without_trace(hosts, "demo-arm-0", time.monotonic() - 1)
        assert loop.run_until_complete(asked) is untouched


@pytest.mark.parametrize(("there", "status"), [(".q8s", 9), ("other", 0)])
def test_a_trace_of_a_step_is_found(there: str, status: int, tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", "sudo", 'shift; exec "$@"')
    (tmp_path / there).mkdir()
    words = ["sh", "-c", probe._TRACES.replace("/var/log/q8s /etc/kubernetes/manifests", "")]
    done = subprocess.run(
        words, cwd=tmp_path, env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert (done.stdout.strip() == probe._UNTOUCHED) is (status == 0)
