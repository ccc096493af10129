"""What makes a guest another guest, and how workers of a type take turns: no more at a time than it allows.

An edit of a type, or another version of Kubernetes, is for all its workers. Those that wait depend on the node before
them, so the engine makes anew or upgrades one after the other, and stops where one does not come back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby
from typing import Any

from q8s_infra.plan import ClusterPlan, Worker
from q8s_infra.render.seed import GUEST_FORMAT
from q8s_infra.spec import ClusterSpec
from q8s_infra.state.model import COMMAND, INSTANCE, StackState
from q8s_infra.upgrade import Version, running


class What(Enum):
    """What of a worker an edit is for: with it goes all that is on it."""

    HOST = "its host, with another flavor"
    GUEST = "its guest"
    NODE = "its node, with another version of Kubernetes"


@dataclass(frozen=True)
class Turn:
    """When a worker is made anew, or upgraded.

    Attributes:
        after: the workers whose nodes have to be Ready before.
        what: what of it waits.
    """

    after: tuple[str, ...]
    what: What


@dataclass(frozen=True)
class Rollout:
    """What becomes of workers that exist.

    Attributes:
        turns: by the names of those that wait for another one.
        upgrading: control planes get another version of Kubernetes, and no worker comes, goes or is upgraded before.
        notes: for people, a line for each type and reason.
        half_made: names of those that go and have a guest without its node in the stack: the run that made the guest
            ended before its node was Ready. Nothing that is deleted takes such a node, which may be there, away.
    """

    turns: Mapping[str, Turn] = field(default_factory=dict)
    upgrading: bool = False
    notes: tuple[str, ...] = ()
    half_made: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Change:
    why: str
    what: What


def guest_parts(spec: ClusterSpec, planned: Worker) -> tuple[str, str]:
    """What a guest is made of beside its host and its cluster: another part is another guest.

    The payload is no part: what is in it a running guest gets otherwise (docs/decisions/0017).

    Returns:
        Image and format of guests; and the type. A preview shows the texts as they are.
    """
    image, node_type = spec.guest_image(planned.architecture.name), planned.node_type
    made_from = f"image {image.identity}, guest format {GUEST_FORMAT}"
    described = {
        "architecture": planned.architecture.name,
        "cpuModel": node_type.cpu_model,
        "cpus": node_type.cpus,
        "memory": str(node_type.memory),
        "disk": str(node_type.disk),
        "machine": node_type.machine,
        "qemuArgs": list(node_type.qemu_args),
    }
    return made_from, json.dumps(described)


def rollout(planned: ClusterPlan, state: StackState) -> Rollout:
    """Which workers are made anew or upgraded, in which order, and why.

    Args:
        planned: the cluster as it is to be.
        state: what the stack has.
    """
    versions = running(planned, state)
    turns: dict[str, Turn] = {}
    asked = Version.of(planned.spec.kubernetes.version)
    upgrading = any(versions.get(node.name, asked) != asked for node in planned.control_planes)
    notes: list[str] = []
    if upgrading:
        notes.append(f"Kubernetes {asked}: control planes get it one after the other, and workers then")
    for _, workers in groupby(planned.workers, key=lambda worker: worker.type_name):
        there = [worker for worker in workers if _exists(worker.name, state)]
        changes = {
            worker.name: found
            for worker in there
            if (found := _anew(planned.spec, worker, state) or _upgraded(asked, versions.get(worker.name)))
        }
        if not changes:
            continue
        at_once = there[0].node_type.max_unavailable
        # Those whose host is lost, or that an earlier run left without a guest or a node, are down: they come first,
        # and count as unavailable whether this edit changes them or not.
        down = [worker.name for worker in there if _is_down(worker.name, state)]
        waiting = [name for name in changes if name not in down]
        turns |= {name: Turn(after, changes[name].what) for name, after in _queued(down, waiting, at_once)}
        notes += _told(changes, at_once)
    return Rollout(turns, upgrading, tuple(notes), tuple(_half_made(planned, state)))


def _queued(down: Sequence[str], waiting: Sequence[str], at_once: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Whom each worker waits for, so that no more than allowed are down at any time.

    The queue is dealt out to as many lanes as workers may be down at once. In a lane one follows the other. The first
    that waits in it also follows all that are down already, but for the last ones of the other lanes.

    Args:
        down: workers that are down.
        waiting: workers that are up, in the order in which they are replaced.
        at_once: how many may be down.
    """
    queue = [*down, *waiting]
    last = set(range(max(0, len(down) - at_once), len(down)))
    for place in range(max(len(down), at_once), len(queue)):
        before = place - at_once
        if before >= len(down):
            yield queue[place], (queue[before],)
        else:
            yield queue[place], tuple(name for at, name in enumerate(down) if at == before or at not in last)


def replaced_hosts(planned: ClusterPlan, state: StackState) -> dict[str, str]:
    """The workers whose hosts this run deletes and creates again, with the flavors that the hosts have now."""
    known = {
        worker.name: str(state.outputs(INSTANCE, worker.name).get("flavorName") or worker.flavor)
        for worker in planned.workers
    }
    return {worker.name: known[worker.name] for worker in planned.workers if known[worker.name] != worker.flavor}


def _exists(name: str, state: StackState) -> bool:
    """Whether a worker has been made, or is being replaced by a run that failed or was cut off."""
    parts = ((INSTANCE, name), (COMMAND, f"{name}-guest"), (COMMAND, f"{name}-node"))
    return state.has(COMMAND, f"{name}-guest") or any(state.is_pending(*part) for part in parts)


def _is_down(name: str, state: StackState) -> bool:
    steps = all(state.has(COMMAND, f"{name}-{step}") for step in ("guest", "node"))
    return not (steps and state.has(INSTANCE, name))


def _half_made(planned: ClusterPlan, state: StackState) -> Iterator[str]:
    stay = {worker.name for worker in planned.workers}
    guests = (each.name.removesuffix("-guest") for each in state.of_type(COMMAND) if each.name.endswith("-guest"))
    return (name for name in guests if name not in stay and not state.has(COMMAND, f"{name}-node"))


def _anew(spec: ClusterSpec, worker: Worker, state: StackState) -> _Change | None:
    guest = state.get(COMMAND, f"{worker.name}-guest")
    if guest is None:
        return None
    flavor = state.outputs(INSTANCE, worker.name).get("flavorName", worker.flavor)
    # The instance and the cluster come first.
    was = tuple(guest.outputs.get("triggers") or ())[2:]
    parts = guest_parts(spec, worker)
    reasons = [f"flavor {worker.flavor}, was {flavor}"] if flavor != worker.flavor else []
    if was != parts:
        before = _fields(was)
        reasons += [
            f"{name} {value}, was {before.get(name, 'unknown')}"
            for name, value in _fields(parts).items()
            if before.get(name) != value
        ]
    if not reasons:
        return None
    return _Change("; ".join(reasons), What.HOST if flavor != worker.flavor else What.GUEST)


def _upgraded(asked: Version | None, version: Version | None) -> _Change | None:
    """Nothing is known of a node that was not there when its step ended: then there is nothing to wait for."""
    return None if version in (None, asked) else _Change(f"Kubernetes {asked}, was {version}", What.NODE)


def _fields(parts: tuple[Any, ...]) -> dict[str, str]:
    """The parts of a guest by their names."""
    try:
        made_from, described = parts
        texts = (part.rpartition(" ")[::2] for part in str(made_from).split(", "))
        return {**dict(texts), **{name: str(value) for name, value in json.loads(described).items()}}
    except ValueError:
        return {}


def _told(changes: Mapping[str, _Change], at_once: int) -> Iterator[str]:
    def order(name: str) -> tuple[str, str]:
        return changes[name].what.name, changes[name].why

    for (what, why), group in groupby(sorted(changes, key=order), key=order):
        names = list(group)
        who = f"{names[0]} is" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more of its type are"
        done = "upgraded" if what == What.NODE.name else "made anew"
        pace = "" if len(changes) == 1 else f", {at_once} at a time (maxUnavailable)"
        yield f"{who} {done}{pace}: {why}"
