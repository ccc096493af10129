"""Refuse a command that runs ``pulumi up`` where it would change more than the command is for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from pulumi import automation
from pulumi.automation import OpType

_HARMLESS: Final = frozenset({OpType.SAME, OpType.READ, OpType.REFRESH})
_FOLLOWS: Final = ("kubernetes:", "pulumi:providers:kubernetes", "pulumi:pulumi:Stack")
"""Types of resources whose inputs follow from the administrator's kubeconfig."""
_MOST: Final = 10


class OtherChanges(Exception):
    """The stack's description has changes that no ``pulumi up`` has made yet; the message lists them."""


def refuse_other_changes(stack: automation.Stack, replace: Sequence[str], own: Collection[str]) -> None:
    """Preview what a command is about to do.

    Args:
        stack: the stack.
        replace: URNs of the resources that the command replaces.
        own: names of the resources that the command changes.

    Raises:
        OtherChanges: the same run would change other resources, too; nothing was changed.
        pulumi.automation.CommandError: the preview failed.
    """
    found: list[str] = []

    def seen(event: automation.EngineEvent) -> None:
        step = event.resource_pre_event
        if step is None or step.metadata.op in _HARMLESS or step.metadata.type.startswith(_FOLLOWS):
            return
        name = step.metadata.urn.rpartition("::")[2]
        if name not in own:
            found.append(f"{step.metadata.op.value} {name}")

    stack.preview(replace=list(replace), on_event=seen)
    if found:
        listed = "\n".join(f"  {each}" for each in list(dict.fromkeys(found))[:_MOST])
        more = f"\n  and {len(found) - _MOST} more" if len(found) > _MOST else ""
        raise OtherChanges(
            f"the stack has changes that no pulumi up has made yet; nothing was changed\n{listed}{more}\n"
            "Run pulumi up first, or take the changes back, and run the command again"
        )
