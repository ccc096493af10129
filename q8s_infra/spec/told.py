"""Pydantic's errors in our words: each with its field, what was given and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, get_args

from pydantic.alias_generators import to_camel

from q8s_infra.spec.cluster import ClusterSpec
from q8s_infra.spec.errors import Mistake
from q8s_infra.spec.types import Model

_WORDS: Final = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_unicode": "must be text that has an encoding",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "tuple_type": "must be a list",
    "string_too_short": "must not be empty",
    "string_too_long": "must have {max_length} characters at most",
    "too_short": "must have {min_length} at least",
    "too_long": "must have {max_length} at most",
    "ip_v4_network": "must be an IPv4 network such as 10.0.0.0/16, with no bits set after its prefix",
}

_SECRET: Final = re.compile("-----BEGIN|://[^/]*@")
"""The beginning of a key in PEM, or a URL with a user or a password."""


def mistakes_of(error: Any) -> list[Mistake]:
    """The mistakes that one of pydantic's errors is."""
    kind, place, given = error["type"], error["loc"], error["input"]
    if kind == "value_error" and given is None:
        # Of a default, pydantic says the field's name in Python.
        place = (*place[:-1], to_camel(str(place[-1])))
    path = ".".join(str(part) for part in place if part != "[key]")
    if kind == "of_fields":
        return [split(path, each) for each in error["ctx"]["mistakes"]]
    words = _WORDS.get(kind)
    message = words.format(**error.get("ctx", {})) if words else error["msg"].removeprefix("Value error, ")
    if kind == "string_type" and isinstance(given, bool | int | float | date):
        message = f"{message}: YAML reads it as {_yaml_type(given)}, write it in quotes"
    if kind == "extra_forbidden":
        message = f"is no field, there are {', '.join(_fields(place[:-1]))}"
    # Where fields do not go together, the mapping that has them is the whole; what is in an unknown one is nobody's.
    whole = isinstance(given, Mapping) and kind in ("value_error", "extra_forbidden")
    told = kind != "missing" and not whole and not _is_secret(place, given)
    return [Mistake(path or "q8s:cluster", given if told else None, message)]


def _yaml_type(given: object) -> str:
    """What YAML makes of words that were meant as text."""
    if isinstance(given, bool):
        return "true or false"
    return "a number" if isinstance(given, int | float) else "a date"


def split(path: str, part: str) -> Mistake:
    """A mistake from text with its field, below a path, before a colon."""
    field, _, allowed = part.partition(": ")
    return Mistake(f"{path}.{field}" if path else field, None, allowed)


def _is_secret(place: Sequence[object], given: object) -> bool:
    """What may have a secret in it, wherever it was written by mistake.

    A proxy its password, and a registry, or what stands in the place of all of them; PEM a private key.
    """
    if _has_secret(given):
        return True
    if place[:1] == ("proxy",):
        return "noProxy" not in place
    with_password = "@" in given if isinstance(given, str) else isinstance(given, Mapping | list)
    if place[:2] == ("sources", "registries"):
        return place[-1] != "[key]" and (place[-1] != "mirror" or with_password)
    if place == ("sources",) or place[:2] == ("sources", "registryMirror"):
        return with_password
    return place[:2] == ("sources", "caCertificates")


def _has_secret(given: object) -> bool:
    """Whether there is a key or a URL with a password in a value, or anywhere below it."""
    try:
        return _SECRET.search(repr(given)) is not None
    except ValueError:
        # Python writes no number of more than 4,300 digits.
        return False


def _fields(place: Sequence[object]) -> list[str]:
    """The fields that there are at a place: those of the last model on the way to it."""
    model: type[Model] = ClusterSpec
    for part in place:
        below = (_model_in(field.annotation) for field in model.model_fields.values() if field.alias == part)
        model = next(below, None) or model
    return [str(field.alias) for field in model.model_fields.values()]


def _model_in(annotation: Any) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
