"""Mistakes in a cluster's description: all of them at once, each with its field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import PydanticCustomError


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
        given = "" if self.given is None else f" (given: {_written(self.given)})"
        path = _printable(self.path).replace("\n", r"\n")
        return f"{path}: {_printable(self.allowed)}{given}"


class SpecErrors(Exception):
    """A description that can't be used; nothing has been created."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"  {mistake}" for mistake in self.mistakes))


def of_fields(mistakes: Sequence[str]) -> PydanticCustomError:
    """What a check of several fields raises: mistakes, each with its field before a colon."""
    return PydanticCustomError("of_fields", "{told}", {"told": "; ".join(mistakes), "mistakes": list(mistakes)})


def _written(given: object) -> str:
    try:
        return repr(given)
    except ValueError:
        # Python writes no number of more than 4,300 digits.
        return "a number of thousands of digits"


def _printable(text: str) -> str:
    """Text as it is, but for what no terminal should get or no encoding has."""
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)
