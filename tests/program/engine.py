"""What the engine leaves of a stack where a run fails, and what a refresh and `q8s forget` make of one.

Sources: pulumi 3.259, pkg/resource/deploy: step_generator.go (dependent replacements, GenerateDeletes), step.go
(``PendingReplacement``, ``RemovePendingReplaceStep``), deployment.go (refresh).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from q8s_infra.forget import forgotten as forgotten_deployment
from tests.program import rules
from tests.program.recorded import Declared

Stack = Mapping[str, Declared]


def stopped(
    before: Stack, declared: Stack, failed: Collection[str], *, carries_on: bool = False
) -> dict[str, Declared]:
    """The stack that a run leaves in which resources could not be created or updated.

    What is replaced is deleted before, and with it first what needs a replacement for its sake: all of that is pending
    replacement until it is created. What is not declared any more is deleted at the end, which this run does not reach.

    Args:
        before: the stack that the program ran on.
        declared: what would have become of it, in the order of registration.
        failed: keys of the resources that are not created or updated.
        carries_on: with what does not depend on them (``--continue-on-error``); else the first one ends the run.
    """
    left: dict[str, Declared] = {}
    deleted: set[str] = set()
    not_done: set[str] = set()
    ended = False
    for key, each in declared.items():
        tried = not (ended or each.requires & not_done)
        if each.done == "replaced" and ((tried and each.deleted_first) or each.deleted_before & deleted):
            deleted.add(key)
        if each.done == "component" or (tried and key not in failed):
            left[key] = each
            continue
        not_done.add(key)
        ended = ended or not carries_on
        if former := before.get(key):
            left[key] = replace(former, pending=former.pending or key in deleted)
    return {**{key: each for key, each in before.items() if key not in declared}, **left}


def refreshed(stack: Stack, gone: Collection[str]) -> dict[str, Declared]:
    """The stack after a refresh that does not find some instances, given by their keys.

    One that is pending replacement is left as it is. What was to end with one of the others is to be deleted by itself.
    """
    lost = {key for key in gone if not stack[key].pending}
    return _without(stack, lost)


def forgotten(stack: Stack, names: Iterable[str]) -> dict[str, Declared]:
    """The stack after ``q8s forget`` of some hosts, given by the names of their nodes."""
    resources = [
        {
            "urn": f"::::{each.type}::{each.name}",
            "type": each.type,
            "id": each.id,
            "inputs": each.inputs,
            "pendingReplacement": each.pending,
            "dependencies": [f"::::{stack[key].type}::{key.split()[1]}" for key in each.requires if key in stack],
        }
        for each in stack.values()
        if not each.lost
    ]
    kept: dict[str, Mapping[str, Any]] = {
        each["urn"]: each for each in forgotten_deployment({"resources": resources}, names, there=())["resources"]
    }
    left: dict[str, Declared] = {}
    lost: set[str] = set()
    for key, each in stack.items():
        found = kept.get(f"::::{each.type}::{each.name}")
        if found is None:
            lost.add(key)
        left[key] = replace(each, inputs=found["inputs"]) if found else replace(each, pending=False)
    return _without(left, lost)


@dataclass(frozen=True)
class Deletion:
    """The run of a step that takes another one back.

    Attributes:
        name: of the resource.
        command: what runs.
        host: name of the host that it runs on.
        exists: there is a host to run it on.
    """

    name: str
    command: str
    host: str
    exists: bool


def deletions(before: Stack, declared: Stack) -> Iterator[Deletion]:
    """The steps that a run takes back at its end, as they are not declared any more."""
    for key, each in before.items():
        if key in declared or each.lost or each.pending or not each.inputs.get("delete"):
            continue
        host = next(it.removeprefix("CopyToRemote ") for it in each.requires if it.startswith("CopyToRemote "))
        name = host.removesuffix("-scripts")
        instance = f"Instance {name}"
        # Nothing is taken back on a host that is deleted, too.
        if each.deleted_with and instance not in declared:
            continue
        yield Deletion(each.name, str(each.inputs["delete"]), name, exists=instance in declared)


def _without(stack: Stack, lost: Collection[str]) -> dict[str, Declared]:
    names = {stack[key].name for key in lost if stack[key].type == rules.INSTANCE}
    return {
        key: replace(
            each,
            lost=each.lost or key in lost,
            deleted_with="" if each.deleted_with in names else each.deleted_with,
        )
        for key, each in stack.items()
    }
