"""``python -m lab outdated``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from lab.outdated import registries, report
from lab.outdated.pins import pins
from lab.steps import console


def outdated(
    json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="Time limit of one lookup.")] = 60,
) -> None:
    """List each pinned version with the newest one that the configured registries serve.

    It is a report: the exit code is 0 whatever it finds, also where a registry does not answer. Pre-releases are left
    out, and so are Go modules of another major version, which have another path. Go and pip are asked as they are
    configured (GOPROXY, pip.conf, PIP_INDEX_URL). Progress is on standard error.
    """
    progress = Console(stderr=True, highlight=False)
    found = pins()
    names = sorted({(pin.registry, pin.asked) for pin in found if pin.registry})
    clients = {"go": registries.go(seconds), "pip": registries.pip(seconds)}
    answers = registries.ask_all(clients, names, lambda line: progress.print(line, markup=False))
    rows = [report.compare(pin, answers) for pin in found]
    if json:
        typer.echo(report.as_json(rows))
        return
    console.print(report.table(rows))
    console.print(report.summary(rows), soft_wrap=True)
