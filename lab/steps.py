"""Progress of long work: a line when a step begins, a table of all at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

console = Console(highlight=False)


@dataclass
class Outcome:
    """How a step ended: seconds, and ``built``, ``cached``, ``done`` or ``there``."""

    name: str
    seconds: float = 0.0
    how: str = "done"


@dataclass
class Steps:
    """The steps so far, and when the first began (by the monotonic clock)."""

    outcomes: list[Outcome] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, name: str) -> Iterator[Outcome]:
        """Time a step; the body may change how it ended."""
        console.print(f"... {name}", markup=False)
        outcome, started = Outcome(name), time.monotonic()
        yield outcome
        outcome.seconds = time.monotonic() - started
        self.outcomes.append(outcome)

    def table(self) -> Table:
        """All steps with their times; together they take less where some go on side by side."""
        table = Table("step", "seconds", "how")
        for outcome in self.outcomes:
            table.add_row(outcome.name, f"{outcome.seconds:.1f}", outcome.how)
        table.add_row("all", f"{time.monotonic() - self.began:.1f}", "", style="bold")
        return table

    def save(self, path: Path) -> None:
        """Hand the outcomes to another process."""
        path.write_text(json.dumps([asdict(outcome) for outcome in self.outcomes]))

    def add_saved(self, path: Path) -> None:
        """Take over the outcomes of another process."""
        self.outcomes += [Outcome(**each) for each in json.loads(path.read_text())]
        path.unlink()
