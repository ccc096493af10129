"""Mistakes in a cluster's description: all of them at once, each with its field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        path: the field, such as ``nodeTypes.x86-small.memory``.
        given: what stands there, or None where nothing does.
        allowed: what could.
    """

    path: str
    given: object
    allowed: str

    def __str__(self) -> str:
        given = "" if self.given is None else f" (given: {self.given!r})"
        return f"{self.path}: {self.allowed}{given}"


class SpecErrors(Exception):
    """A description that can't be used; nothing has been created."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"  {mistake}" for mistake in self.mistakes))
