"""The test run in named phases: ``python3 .ci/phases.py [--full] [PHASE...]``, all of them where none is named.

Each phase has a limit, a log of its own, a line when it starts and one when it ends. A failure ends the run with the
phase, the end of its log and how to run that phase alone. Needs nothing but Python: the first phase makes the rest.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
BIN: Final = ".venv/bin"
PYTEST: Final = (f"{BIN}/pytest", "-q", "--durations=10")
SIDE_BY_SIDE: Final = ("-n", "3", "--dist", "worksteal")
"""Two processors' worth of tests, and one more for those that wait."""
BY_GROUP: Final = ("-n", "2", "--dist", "loadscope")
"""A process for what has to do with the cluster, and one for the rest: both wait much (tests/lab/conftest.py)."""
LAB: Final = (f"{BIN}/python", "-m", "lab")
TAIL_LINES: Final = 40
BEAT_SECONDS: Final = 60
GRACE_SECONDS: Final = 60


@dataclass(frozen=True)
class Phase:
    """One part of the test run.

    Attributes:
        name: what it is called on the command line and in messages.
        limit: seconds after which it is ended.
        commands: run one after the other.
        full: only where the whole of the tests is asked for.
        always: runs even after a failure.
    """

    name: str
    limit: int
    commands: Sequence[Sequence[str]]
    full: bool = False
    always: bool = False


def phases(*, own_lab: bool) -> tuple[Phase, ...]:
    """All phases, fast ones first.

    Args:
        own_lab: the run has a lab of its own, to be taken down at its end.
    """
    inside = (*LAB, "enter", *PYTEST)
    return (
        Phase("environment", 1200, [[sys.executable, ".ci/environment.py"]]),
        Phase("lint", 180, [["make", "--no-print-directory", "lint"]]),
        Phase("types", 400, [["make", "--no-print-directory", "types"]]),
        Phase("packages", 1800, [[*LAB, "packages"]]),
        Phase("unit", 600, [[*PYTEST, *SIDE_BY_SIDE, "tests/unit", "tests/program", "-m", "not full"]]),
        Phase("tools", 4200, [[*LAB, "tools"]]),
        Phase("schemas", 300, [[*PYTEST, "tests/schemas"]]),
        Phase("engine", 900, [[*PYTEST, *SIDE_BY_SIDE, "tests/engine", "-m", "not full"]]),
        Phase("plugins", 900, [[*PYTEST, *SIDE_BY_SIDE, "tests/plugins"]]),
        Phase("lab-up", 4800, [[*LAB, "up"]]),
        Phase("lab-tests", 3600, [[*inside, *BY_GROUP, "tests/lab", "-m", "not full"]]),
        Phase("unit-full", 1800, [[*PYTEST, "tests/unit", "tests/program", "-m", "full"]], full=True),
        Phase("engine-full", 1800, [[*PYTEST, "tests/engine", "-m", "full"]], full=True),
        Phase("lifecycle", 7200, [[*PYTEST, "tests/lifecycle"]], full=True),
        Phase("upgrades", 4800, [[*LAB, "upgrades"]], full=True),
        Phase("published", 4800, [[*LAB, "published"]], full=True),
        Phase("further", 5400, [[*LAB, "further"]], full=True),
        Phase("distributions", 1800, [[*LAB, "distributions"]], full=True),
        Phase("lab-tests-full", 14400, [[*inside, "tests/lab", "-m", "full"]], full=True),
        *([Phase("lab-down", 300, [[*LAB, "down", "--wipe"]], always=True)] if own_lab else []),
    )


def environment() -> dict[str, str]:
    """The environment of every phase: caches that outlive the clone."""
    cache = Path(os.environ.get("Q8S_CACHE") or Path.home() / ".cache" / "q8s")
    caches = {"MYPY_CACHE_DIR": cache / "mypy", "RUFF_CACHE_DIR": cache / "ruff"}
    return {**os.environ, **{name: str(path) for name, path in caches.items()}}


def said(text: str) -> None:
    """Print a line at once: who reads along through a pipe sees it when it happens."""
    print(text, flush=True)


def last_line(log: Path) -> str:
    """The last line of a log that is not empty."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command with all that it started: asked first, so that tests can take back what they made."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    process.wait(GRACE_SECONDS)


def run(command: Sequence[str], log: Path, deadline: float, variables: Mapping[str, str]) -> str:
    """Run a command with its output in a log, and say every minute where it is.

    Args:
        command: the words.
        log: where its output is appended.
        deadline: when it is ended, by :func:`time.monotonic`.
        variables: its environment.

    Returns:
        What went wrong; empty when nothing did.
    """
    with log.open("ab") as output:
        output.write(f"+ {' '.join(command)}\n".encode())
        output.flush()
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        started = time.monotonic()
        while True:
            left = deadline - time.monotonic()
            try:
                status = process.wait(max(0.0, min(BEAT_SECONDS, left)))
            except subprocess.TimeoutExpired:
                if left <= BEAT_SECONDS:
                    return "took longer than its limit"
                said(f"    {time.monotonic() - started:.0f} s: {last_line(log)[:150]}")
                continue
            return f"exited {status}" if status else ""
    finally:
        if process.poll() is None:
            end(process)


def run_phase(phase: Phase, log: Path) -> bool:
    """Run a phase and say how it went.

    Returns:
        True where it passed.
    """
    said(f"==> {phase.name} (at most {phase.limit} s, log {log})")
    log.unlink(missing_ok=True)
    started = time.monotonic()
    wrong = ""
    for command in phase.commands:
        wrong = run(command, log, started + phase.limit, environment())
        if wrong:
            break
    took = time.monotonic() - started
    if not wrong:
        said(f"<== {phase.name} passed in {took:.0f} s: {last_line(log)}")
        return True
    said("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]))
    said(f"<== {phase.name} FAILED after {took:.0f} s (limit {phase.limit} s): {wrong}")
    said(f"    log: {log}\n    alone: make phase NAME={phase.name}")
    return False


def run_all(wanted: Iterable[Phase], logs: Path) -> int:
    """Run phases until one fails, and those that always run.

    Returns:
        The exit code.
    """
    logs.mkdir(parents=True, exist_ok=True)
    passed: list[str] = []
    failed: list[str] = []
    started = time.monotonic()
    for phase in wanted:
        if failed and not phase.always:
            continue
        try:
            good = run_phase(phase, logs / f"{phase.name}.log")
        except KeyboardInterrupt:
            said(f"<== {phase.name} interrupted")
            good = False
        (passed if good else failed).append(phase.name)
    said(f"{time.monotonic() - started:.0f} s in all{', failed: ' + ' '.join(failed) if failed else ''}")
    said(f"phases: {len(passed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; see the module's text."""
    parser = argparse.ArgumentParser(prog=".ci/phases.py", description=__doc__)
    parser.add_argument("--full", action="store_true", help="also the tests that take long")
    parser.add_argument("--own-lab", action="store_true", help="in a lab beside the one in use, taken down at the end")
    parser.add_argument("names", nargs="*", metavar="PHASE")
    options = parser.parse_args(arguments)
    known = {phase.name: phase for phase in phases(own_lab=options.own_lab)}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"no such phase: {', '.join(unknown)}; there are {', '.join(known)}")
    if options.own_lab:
        for name, folder in (("STATE", "/var/lib"), ("RUN", "/run"), ("LOGS", "/var/log")):
            os.environ.setdefault(f"Q8S_LAB_{name}", f"{folder}/q8s-lab-ci")
    wanted = [known[name] for name in options.names] or [
        phase for phase in known.values() if options.full or not phase.full
    ]
    return run_all(wanted, REPOSITORY / ".logs")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
