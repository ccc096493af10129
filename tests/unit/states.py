"""States of stacks for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from q8s_infra.state.model import Resource, StackState


def state(resources: Mapping[str, Mapping[str, Any]], *pending: str, creating: tuple[str, ...] = ()) -> StackState:
    """A state with these resources, by URN: type, outputs, and other fields of :class:`Resource`.

    Args:
        resources: by URN.
        pending: names of those that are pending replacement.
        creating: URNs of those whose creation was cut off.
    """
    known = tuple(
        Resource(urn, **{"id": str(each.get("outputs", {}).get("id", "")), **each}) for urn, each in resources.items()
    )
    return StackState(
        tuple(replace(each, pending=each.name in pending) for each in known), creating=frozenset(creating)
    )
