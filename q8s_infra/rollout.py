"""What makes a guest another guest, and how guests are made anew: no more of a type at a time than it allows.

An edit of a type, or another payload, is for all its workers. Those that wait depend on the node before them, so the
engine drains and replaces one after the other, and stops where one does not come back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from q8s_infra.plan import ClusterPlan, Worker
from q8s_infra.render.payload import payload
from q8s_infra.render.seed import GUEST_FORMAT
from q8s_infra.spec import ClusterSpec
from q8s_infra.strays import INSTANCE

_COMMAND: Final = "command:remote:Command"


@dataclass(frozen=True)
class Turn:
    """When a worker is made anew.

    Attributes:
        after: the worker whose node has to be Ready before.
        whole_host: its host is made anew, too.
    """

    after: str
    whole_host: bool


@dataclass(frozen=True)
class Rollout:
    """What becomes of workers that exist.

    Attributes:
        turns: by the names of those that wait for another one.
        notes: for people, a line for each type and reason.
    """

    turns: Mapping[str, Turn]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Anew:
    why: str
    whole_host: bool


def guest_parts(spec: ClusterSpec, planned: Worker) -> tuple[str, str]:
    """What a guest is made of beside its host and its cluster: another part is another guest.

    Returns:
        Image, payload and format of guests; and the type. A preview shows the texts as they are.
    """
    image, disk = spec.guest_images[planned.architecture.name], payload(spec, planned.architecture)
    node_type = planned.node_type
    made_from = f"image {image.identity}, payload {disk.key}, guest format {GUEST_FORMAT}"
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


def rollout(planned: ClusterPlan, resources: Mapping[str, Mapping[str, Any]]) -> Rollout:
    """Which workers are made anew, in which order, and why.

    Args:
        planned: the cluster as it is to be.
        resources: types and outputs of what the stack has, by URNs.
    """
    outputs = {(it["type"], urn.split("::")[-1]): it["outputs"] for urn, it in resources.items()}
    turns: dict[str, Turn] = {}
    notes: list[str] = []
    for _, workers in groupby(planned.workers, key=lambda worker: worker.type_name):
        there = [worker for worker in workers if (_COMMAND, f"{worker.name}-guest") in outputs]
        anew = {worker.name: found for worker in there if (found := _anew(planned.spec, worker, outputs))}
        if not anew:
            continue
        at_once = there[0].node_type.max_unavailable
        # Those whose host is lost, or that an earlier run left without a node, are down already and go on at once.
        down = [
            worker.name
            for worker in there
            if not {(INSTANCE, worker.name), (_COMMAND, f"{worker.name}-node")} <= outputs.keys()
        ]
        waiting = [name for name in anew if name not in down]
        queue = [*down, *waiting]
        for before, name in zip(queue, queue[at_once:], strict=False):
            if name in waiting:
                turns[name] = Turn(before, anew[name].whole_host)
        notes += _told(anew, at_once)
    return Rollout(turns, tuple(notes))


def _anew(spec: ClusterSpec, worker: Worker, outputs: Mapping[tuple[str, str], Mapping[str, Any]]) -> _Anew | None:
    flavor = outputs.get((INSTANCE, worker.name), {}).get("flavorName", worker.flavor)
    # The instance and the cluster come first.
    was = tuple(outputs[_COMMAND, f"{worker.name}-guest"].get("triggers") or ())[2:]
    parts = guest_parts(spec, worker)
    reasons = [f"flavor {worker.flavor}, was {flavor}"] if flavor != worker.flavor else []
    if was != parts:
        before = _fields(was)
        reasons += [
            f"{name} {value}, was {before.get(name, 'unknown')}"
            for name, value in _fields(parts).items()
            if before.get(name) != value
        ]
    return _Anew("; ".join(reasons), flavor != worker.flavor) if reasons else None


def _fields(parts: tuple[Any, ...]) -> dict[str, str]:
    """The parts of a guest by their names."""
    try:
        made_from, described = parts
        texts = (part.rpartition(" ")[::2] for part in str(made_from).split(", "))
        return {**dict(texts), **{name: str(value) for name, value in json.loads(described).items()}}
    except ValueError:
        return {}


def _told(anew: Mapping[str, _Anew], at_once: int) -> Iterator[str]:
    for why, group in groupby(sorted(anew, key=lambda name: anew[name].why), key=lambda name: anew[name].why):
        names = list(group)
        what = f"{names[0]} is" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more of its type are"
        pace = "" if len(anew) == 1 else f", {at_once} at a time (maxUnavailable)"
        yield f"{what} made anew{pace}: {why}"
