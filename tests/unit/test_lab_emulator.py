from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from lab import emulator as emulators
from lab.emulator import Emulator, NoEmulator, Trace
from lab.hosts import cgroups

SPIN = "import time; x = bytearray(64 << 20); print('ready', flush=True)\nwhile True: pass"
IDLE = "import time; print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process whose name is an emulator's."""
    words = ["qemu-system-test", "-c", request.param]
    running = subprocess.Popen(words, executable=sys.executable, stdout=subprocess.PIPE, text=True)
    assert running.stdout
    assert running.stdout.readline() == "ready\n"
    yield running
    running.kill()
    running.wait(10)
    running.stdout.close()


@pytest.mark.parametrize("process", [SPIN], indirect=True)
def test_a_busy_process_takes_cpu_and_memory(process: subprocess.Popen[str]) -> None:
    emulator = Emulator(process.pid)
    before = emulator.cpu_seconds()
    assert 0.05 < emulator.load(0.5) <= 1.2
    assert emulator.cpu_seconds() > before
    assert 60 < emulator.resident_mib() < 200


@pytest.mark.parametrize("process", [IDLE], indirect=True)
def test_an_idle_process_takes_none(process: subprocess.Popen[str]) -> None:
    assert Emulator(process.pid).load(0.3) < 0.05


@pytest.mark.parametrize("process", [IDLE], indirect=True)
def test_a_hosts_emulator_is_found_among_its_processes(
    process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = {"q8s-one": {1, process.pid}, "q8s-none": {1}}
    monkeypatch.setattr(cgroups, "members", hosts.__getitem__)
    assert Emulator.of("one") == Emulator(process.pid)
    with pytest.raises(NoEmulator, match="host none runs 0 emulators"):
        Emulator.of("none")


@pytest.mark.parametrize("process", [SPIN], indirect=True)
def test_a_trace_says_what_was_used_by_a_moment(
    process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulators, "_LOOK_SECONDS", 0.02)
    there: set[int] = set()
    monkeypatch.setattr(cgroups, "members", lambda _: there)
    began = datetime.now(UTC)

    def risen(trace: Trace, above: float) -> tuple[float, datetime]:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            moment = datetime.now(UTC)
            with suppress(NoEmulator):
                if (used := trace.until(moment)) > above:
                    return used, moment
            time.sleep(0.02)
        raise AssertionError(f"not above {above} s of CPU")

    with Trace("one") as trace:
        there.add(process.pid)
        first, then = risen(trace, 0)
        second, _ = risen(trace, first + 0.1)
    assert trace.until(then) < second
    with pytest.raises(NoEmulator, match="host one ran no emulator before"):
        trace.until(began - timedelta(seconds=1))
    with Trace("one") as later:
        time.sleep(0.1)
    with pytest.raises(NoEmulator):
        later.until(datetime.now(UTC))
