"""Sizes and periods with units: ``4GiB``, ``512MiB``, ``20GB``; ``90d``, ``36h``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

_FACTORS: Final = {
    unit: base**power
    for base, suffix in ((1000, "B"), (1024, "iB"))
    for power, unit in enumerate((f"K{suffix}", f"M{suffix}", f"G{suffix}", f"T{suffix}"), start=1)
}
_SIZE: Final = r"([0-9]{1,24})\s*([KMGT]i?B)"
_HOURS: Final = {"h": 1, "d": 24}
_PERIOD: Final = r"([0-9]{1,6})\s*([hd])"


def _amount(given: object, pattern: str, factors: Mapping[str, int]) -> int | None:
    """A positive whole number with a unit, in the smallest unit; None where a text is no such thing, or is no text."""
    match = re.fullmatch(pattern, given.strip()) if isinstance(given, str) else None
    return int(match[1]) * factors[match[2]] or None if match else None


def _as_text(parse: Callable[[object], object], pattern: str) -> core_schema.CoreSchema:
    """Validate from text, write as text."""
    return core_schema.no_info_plain_validator_function(
        parse,
        json_schema_input_schema=core_schema.str_schema(pattern=pattern),
        serialization=core_schema.to_string_ser_schema(),
    )


@dataclass(frozen=True, order=True)
class Size:
    """An amount of memory or storage, in bytes; always positive."""

    bytes: int

    @classmethod
    def parse(cls, given: object) -> Size:
        """Read a size.

        Raises:
            ValueError: no whole positive number with a unit of KB, MB, GB, TB, KiB, MiB, GiB or TiB.
        """
        if isinstance(given, Size):
            return given
        amount = _amount(given, _SIZE, _FACTORS)
        if amount is None:
            raise ValueError(
                "a size is a positive whole number with a unit (KiB, MiB, GiB, TiB, KB, MB, GB, TB), such as 4GiB"
            )
        return cls(amount)

    @property
    def mib(self) -> int:
        """Whole MiB, rounded up."""
        return -(-self.bytes // 2**20)

    @property
    def gib(self) -> float:
        """GiB."""
        return self.bytes / 2**30

    def __str__(self) -> str:
        for unit in ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "KB"):
            if self.bytes % _FACTORS[unit] == 0:
                return f"{self.bytes // _FACTORS[unit]}{unit}"
        raise AssertionError(f"{self.bytes} bytes were never written with a unit")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Validate from text, write as text."""
        del source, handler
        return _as_text(cls.parse, r"^[0-9]{1,24}\s*[KMGT]i?B$")


@dataclass(frozen=True, order=True)
class Period:
    """A length of time, in hours; always positive."""

    hours: int

    @classmethod
    def parse(cls, given: object) -> Period:
        """Read a period.

        Raises:
            ValueError: no whole positive number with a unit of d or h.
        """
        if isinstance(given, Period):
            return given
        amount = _amount(given, _PERIOD, _HOURS)
        if amount is None:
            raise ValueError("a period is a positive whole number of days (d) or hours (h), such as 90d")
        return cls(amount)

    def __str__(self) -> str:
        return f"{self.hours}h" if self.hours % _HOURS["d"] else f"{self.hours // _HOURS['d']}d"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Validate from text, write as text."""
        del source, handler
        return _as_text(cls.parse, r"^[0-9]{1,6}\s*[hd]$")
