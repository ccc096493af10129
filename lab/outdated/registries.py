"""Ask the registries that this machine is configured for, each by its own client: ``go`` and ``pip``."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab.command import CommandError, run

SIDE_BY_SIDE: Final = 4
"""Lookups at a time."""
_GIVEN_UP_AFTER: Final = 2
"""Lookups without an answer in time, after which a registry is not asked again."""
_URL: Final = re.compile(r"https?://\S+")
_TIMED_OUT: Final = "was not done after"


@dataclass(frozen=True)
class Answer:
    """What a registry serves: versions in any order, or the reason why there are none."""

    versions: tuple[str, ...] = ()
    reason: str = ""


@dataclass
class Registry:
    """A registry by its client.

    Attributes:
        command: prints the versions of a name that follows it.
        parse: reads them from what it prints.
        environment: variables of the command beside the caller's.
        seconds: time limit of a lookup.
        unanswered: lookups that reached it.
    """

    command: Sequence[str]
    parse: Callable[[str], Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 60
    unanswered: int = 0

    def ask(self, name: str, folder: Path) -> Answer:
        """Look a name up, from a folder that configures nothing.

        Returns:
            Every problem as a reason: a report goes on.
        """
        if self.unanswered >= _GIVEN_UP_AFTER:
            return Answer(reason=f"not asked: {self.unanswered} lookups before had no answer")
        environment = {**os.environ, **self.environment}
        try:
            done = run(*self.command, name, limit=self.seconds, check=False, env=environment, cwd=folder)
        except CommandError as error:
            if _TIMED_OUT not in str(error):
                return Answer(reason=f"{self.command[0]} can't be started")
            self.unanswered += 1
            return Answer(reason=f"no answer within {self.seconds:g} s")
        if done.returncode:
            return Answer(reason=_complaint(done.stderr) or f"exit code {done.returncode}")
        versions = tuple(self.parse(done.stdout))
        return Answer(versions) if versions else Answer(reason="the registry lists no version")


def go(seconds: float) -> Registry:
    """Go's module proxy, as GOPROXY names it; versions that their authors retracted are left out by Go."""
    # Git, to which Go may fall back, must not ask for a password.
    environment = {"GOFLAGS": "", "GOWORK": "off", "GIT_TERMINAL_PROMPT": "0"}
    return Registry(("go", "list", "-m", "-versions"), _of_go, environment, seconds)


def pip(seconds: float) -> Registry:
    """Python's package index, as pip is configured; only versions that this Python can install."""
    environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    return Registry((sys.executable, "-m", "pip", "index", "versions"), _of_pip, environment, seconds)


def ask_all(
    registries: Mapping[str, Registry],
    names: Sequence[tuple[str, str]],
    progress: Callable[[str], None],
) -> dict[tuple[str, str], Answer]:
    """Look up names side by side.

    Args:
        registries: by what ``names`` call them.
        names: registry and name of each lookup.
        progress: gets a line for each answer.
    """
    answers: dict[tuple[str, str], Answer] = {}
    with tempfile.TemporaryDirectory(prefix="q8s-outdated-") as folder:
        pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        try:
            asked = {pool.submit(registries[registry].ask, name, Path(folder)): (registry, name)
                     for registry, name in names}  # fmt: skip
            for future in as_completed(asked):
                answers[asked[future]] = future.result()
                progress(f"{len(answers)}/{len(names)} {asked[future][1]}")
        finally:
            pool.shutdown(cancel_futures=True)
    return answers


def _of_go(printed: str) -> Sequence[str]:
    """``module v1.0.0 v1.1.0``."""
    return printed.split()[1:]


def _of_pip(printed: str) -> Sequence[str]:
    """``name (1.1.0)``, then ``Available versions: 1.1.0, 1.0.0``."""
    found = re.search(r"^Available versions: (.*)$", printed, re.MULTILINE)
    return [version.strip() for version in found[1].split(",")] if found else []


def _complaint(printed: str) -> str:
    """The error of a client, without addresses: they are long, and may hold a password."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("go:", "ERROR:"))] or lines[-1:]
    if not errors:
        return ""
    return _URL.split(errors[-1])[-1].removeprefix("go: ").removeprefix("ERROR: ").strip(" :")
