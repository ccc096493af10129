"""The report of outdated pins, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Literal, get_args

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from lab.outdated.ordering import newest, release
from lab.outdated.pin import KUBERNETES, OPENSTACK, Pin
from lab.outdated.registries import Answer

State = Literal["older", "newest", "newer", "not compared", "not asked", "no answer"]
"""``newer``: than all that the registry serves; ``not compared``: the pinned version is no release."""


@dataclass(frozen=True)
class Row:
    """A pin with what its registry serves.

    Attributes:
        pin: the pin.
        state: how it compares; the reason is in ``reason`` where there is nothing to compare with.
        newest: the newest release.
        newest_patch: the newest release of the pinned minor version, of Kubernetes only.
        reason: why there is no newest release.
    """

    pin: Pin
    state: State
    newest: str | None = None
    newest_patch: str | None = None
    reason: str = ""

    @property
    def served(self) -> str:
        """What a reader is told of the registry's versions."""
        if self.newest is None:
            return self.reason if self.reason.startswith(self.state) else f"{self.state}: {self.reason}"
        return f"{self.newest} (patch: {self.newest_patch or 'none'})" if self.pin.kind == KUBERNETES else self.newest


def compare(pin: Pin, answers: Mapping[tuple[str, str], Answer]) -> Row:
    """Compare a pin with its registry's answer."""
    if pin.registry is None:
        return Row(pin, "not asked", reason=pin.reason)
    answer = answers[pin.registry, pin.asked]
    found = newest(answer.versions)
    if found is None:
        not_asked = answer.reason.startswith("not asked: ")
        reason = answer.reason.removeprefix("not asked: ") or "the registry serves pre-releases only"
        return Row(pin, "not asked" if not_asked else "no answer", reason=reason)
    patch = newest(answer.versions, same_minor_as=pin.version) if pin.kind == KUBERNETES else None
    return Row(pin, _state(pin.version, found), found, patch)


def _state(version: str, found: str) -> State:
    ours, theirs = release(version), release(found)
    if not ours or not theirs:
        return "not compared"
    return "newest" if ours == theirs else "older" if ours < theirs else "newer"


def table(rows: Sequence[Row]) -> Table:
    """A section for each kind; ``*`` marks a pin that is older than the newest release."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("pin", overflow="fold", ratio=5)
    shown.add_column("pinned", overflow="fold", ratio=3)
    shown.add_column("newest", overflow="fold", ratio=4)
    shown.add_column("file", overflow="fold", ratio=6)
    shown.expand = True
    for kind, group in groupby(rows, key=lambda row: row.pin.kind):
        shown.add_section()
        shown.add_row(f"[bold]{escape(kind)}[/bold]")
        for row, count in _folded(list(group)):
            name = f"{count} others" if count > 1 else row.pin.name
            version = "" if count > 1 else row.pin.version
            served = f"{row.served} *" if row.state == "older" else row.served
            shown.add_row(*map(escape, (name, version, served, "\n".join(row.pin.files))))
    return shown


def summary(rows: Sequence[Row]) -> str:
    """One line: how many pins are in which state."""
    states = [row.state for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in get_args(State) if state in states)
    return f"{len(rows)} pins: {counts}; * is older than the newest release"


def as_json(rows: Sequence[Row]) -> str:
    """A list of objects, one for each pin."""
    return json.dumps(
        [
            {
                **asdict(row.pin),
                "reason": row.reason,
                "state": row.state,
                "newest": row.newest,
                "newest_patch": row.newest_patch,
            }
            for row in rows
        ],
        indent=2,
    )


def _folded(rows: Sequence[Row]) -> list[tuple[Row, int]]:
    """Rows of a kind; those that the same reason and files make alike are one, with their count."""
    alike: dict[object, list[Row]] = {}
    for row in rows:
        many = row.pin.kind == OPENSTACK and row.state == "not asked"
        alike.setdefault((row.reason, row.pin.files) if many else row, []).append(row)
    return [(group[0], len(group)) for group in alike.values()]
