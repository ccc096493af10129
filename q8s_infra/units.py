"""Sizes and periods with units: ``4GiB``, ``512MiB``, ``20GB``; ``90d``, ``36h``."""

from __future__ import annotations

import re
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
_TEXT: Final = re.compile(r"(?P<number>[0-9]{1,24})\s*(?P<unit>[KMGT]i?B)")
_HOURS: Final = {"h": 1, "d": 24}
_PERIOD: Final = re.compile(r"(?P<number>[0-9]{1,6})\s*(?P<unit>[hd])")


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
        match = _TEXT.fullmatch(given.strip()) if isinstance(given, str) else None
        if match is None or int(match["number"]) == 0:
            raise ValueError(
                "a size is a positive whole number with a unit (KiB, MiB, GiB, TiB, KB, MB, GB, TB), such as 4GiB"
            )
        return cls(int(match["number"]) * _FACTORS[match["unit"]])

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
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            json_schema_input_schema=core_schema.str_schema(pattern=r"^[0-9]{1,24}\s*[KMGT]i?B$"),
            serialization=core_schema.to_string_ser_schema(),
        )


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
        match = _PERIOD.fullmatch(given.strip()) if isinstance(given, str) else None
        if match is None or int(match["number"]) == 0:
            raise ValueError("a period is a positive whole number of days (d) or hours (h), such as 90d")
        return cls(int(match["number"]) * _HOURS[match["unit"]])

    def __str__(self) -> str:
        return f"{self.hours}h" if self.hours % _HOURS["d"] else f"{self.hours // _HOURS['d']}d"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Validate from text, write as text."""
        del source, handler
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            json_schema_input_schema=core_schema.str_schema(pattern=r"^[0-9]{1,6}\s*[hd]$"),
            serialization=core_schema.to_string_ser_schema(),
        )
