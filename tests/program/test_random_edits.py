"""Random edits, failures, losses and refreshes: each run costs what it has to, and leaves nothing behind.

The seed is printed; ``Q8S_SEED=... pytest tests/program/test_random_edits.py`` repeats a failure.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import combinations, groupby
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.program.engine import deletions, forgotten, refreshed, stopped
from tests.program.expected import FIRST, Expected, Made
from tests.program.expected import forgotten as made_of_forgotten
from tests.program.recorded import Declared
from tests.program.test_edits import cost, described, put, stack

SEED = int(os.environ["Q8S_SEED"])
EXAMPLES = 20
CLUSTER = "dev"
VERSIONS = ("1.34.4", "1.34.5", "1.35.1")
TYPES = ("x86-small", "arm-small", "arm-other")
COUNTS = {"x86-small": (0, 1, 2, 3, 4), "arm-small": (0, 1), "arm-other": (0, 1)}
FIELDS: dict[str, tuple[object, ...]] = {
    "flavor": ("c1.medium", "c1.large"),
    "memory": ("2GiB", "3GiB"),
    "cpus": (2, 3),
    "labels": ({}, {"tier": "edge"}),
    "taints": ([], ["tier=edge:NoSchedule"]),
    "maxUnavailable": (1, 2, 3),
}
Stack = dict[str, Declared]
Edit = tuple[str, object]
CONTROL_PLANES = "controlPlanes/count"
VERSION = "kubernetes/version"


@dataclass(frozen=True)
class Step:
    """What happens before a run, and in it; numbers choose among what there is.

    Attributes:
        edits: paths in the description and their new values.
        lost: the number of the node whose instance is lost.
        forgets: that is taken out of the stack by `q8s forget`, else by a refresh.
        fails: the number of the resource that can't be created or updated.
        carries_on: the run does, with what does not depend on that.
        reverts: the edits are taken back after the failure.
    """

    edits: tuple[Edit, ...]
    lost: int | None = None
    forgets: bool = True
    fails: int | None = None
    carries_on: bool = False
    reverts: bool = False


def edits() -> st.SearchStrategy[Edit]:
    counts = [(f"workers/{name}", numbers) for name, numbers in COUNTS.items()]
    fields = [(f"nodeTypes/{name}/{field}", values) for name in TYPES for field, values in FIELDS.items()]
    paths = [*counts, *counts, *fields, (CONTROL_PLANES, (1, 3)), (VERSION, VERSIONS)]
    return st.sampled_from(paths).flatmap(lambda row: st.tuples(st.just(row[0]), st.sampled_from(row[1])))


numbers = st.none() | st.integers(0, 99)
steps = st.builds(
    Step,
    st.lists(edits(), max_size=2).map(tuple),
    numbers,
    st.booleans(),
    numbers,
    st.booleans(),
    st.booleans(),
)


def base(control_planes: int, workers: Mapping[str, int]) -> dict[str, Any]:
    """A small cluster of three types."""
    description = described(CLUSTER, put(CONTROL_PLANES, control_planes), put(VERSION, VERSIONS[0]))
    types = description["nodeTypes"]
    types["arm-other"] = copy.deepcopy(types["arm-small"])
    description["workers"] = dict(workers)
    return description


bases = st.builds(
    base, st.sampled_from((1, 3)), st.fixed_dictionaries({k: st.sampled_from(v) for k, v in COUNTS.items()})
)


def workers(description: Mapping[str, Any]) -> list[str]:
    """Names of the workers, without the cluster's."""
    return [f"{name}-{number}" for name, count in sorted(description["workers"].items()) for number in range(count)]


def present(kept: Mapping[str, Declared], key: str) -> bool:
    """Whether the stack has it, and it exists."""
    return key in kept and not kept[key].lost and not kept[key].pending


def part(worker: str, suffix: str) -> str:
    """The key of a part of a worker."""
    return f"{'Command' if suffix else 'Instance'} {CLUSTER}-{worker}{suffix}"


class Story:
    """A cluster that runs go over; every run is compared with what it is expected to do."""

    def __init__(self, description: dict[str, Any], keys: str) -> None:
        self.description, self.keys = description, keys
        self.stack: Stack = {}
        self.made: dict[str, Made] = {}
        self.clean = True
        self.refreshed: set[str] = set()
        """Names of hosts whose loss a refresh has seen, and that are not there again."""
        self.run()

    def do(self, step: Step) -> None:
        lost = self._lost(step)
        before = copy.deepcopy(self.description)
        for path, value in step.edits:
            if self._is_allowed(path, value, lost):
                put(path, value)(self.description)
        if lost:
            self._lose(lost, forgets=step.forgets)
        if step.fails is None:
            self.run()
        elif self.run(step.fails, carries_on=step.carries_on) and step.reverts:
            # There is no way back from another version.
            before["kubernetes"] = self.description["kubernetes"]
            self.description = before

    def run(self, fails: int | None = None, *, carries_on: bool = False) -> bool:
        """Run the program on the stack, and let a resource fail; True where there was one that could."""
        before = self.stack
        after = stack({"cluster": self.description}, CLUSTER, self.keys, before)
        expected = self._expected()
        assert cost(before, after, CLUSTER) == expected.cost
        assert_no_cycle(after)
        if not expected.other_cluster:
            self._assert_pace(before, after)
        changing = [key for key, each in after.items() if each.done not in ("component", "unchanged")]
        if fails is not None and changing:
            failed = changing[fails % len(changing)]
            self.stack = stopped(before, after, {failed}, carries_on=carries_on)
            self.clean = False
            self._keep(expected, {key for key in after if self.stack.get(key) is after[key]})
            return True
        self._assert_removed_nodes_leave(before, after)
        self.stack, self.clean = after, True
        self.made = expected.made
        self.refreshed.clear()
        return False

    def _is_allowed(self, path: str, value: object, lost: str | None) -> bool:
        if path == CONTROL_PLANES:
            return self.clean and lost is None
        if path == VERSION:
            now = VERSIONS.index(self.description["kubernetes"]["version"])
            return self.clean and VERSIONS.index(str(value)) in (now, now + 1)
        return True

    def _lost(self, step: Step) -> str | None:
        """The name of the node that is lost: one at a time, until a run has brought it back."""
        if step.lost is None or not self.clean:
            return None
        names = [key.removeprefix(f"Instance {CLUSTER}-") for key in self.stack if key.startswith("Instance ")]
        return sorted(names)[step.lost % len(names)]

    def _lose(self, name: str, *, forgets: bool) -> None:
        if forgets:
            self.stack = forgotten(self.stack, [f"{CLUSTER}-{name}"])
            self.made = dict(made_of_forgotten(self.made, name))
        else:
            self.stack = refreshed(self.stack, {part(name, "")})
            self.refreshed.add(f"{CLUSTER}-{name}")
        self.clean = False

    def _names(self, keys: Iterator[str]) -> set[str]:
        return {key.split()[1].removeprefix(f"{CLUSTER}-") for key in keys}

    def _expected(self) -> Expected:
        stay = set(workers(self.description))
        guests = (key for key in self.stack if key.endswith("-guest") and present(self.stack, key))
        leaving = {
            name
            for name in (each.removesuffix("-guest") for each in self._names(guests))
            if name not in stay and not present(self.stack, part(name, "-node"))
        }
        return Expected(
            self.description,
            self.made,
            self._names(key for key, each in self.stack.items() if each.lost),
            self._names(key for key, each in self.stack.items() if each.pending),
            leaving,
        )

    def _keep(self, expected: Expected, done: set[str]) -> None:
        names = self._names(key for key in done if self.stack[key].done != "component")
        self.made = {**self.made, **{name: expected.made[name] for name in names}}

    def _assert_pace(self, before: Stack, after: Stack) -> None:
        for kind, names in groupby(workers(self.description), key=lambda name: name.rpartition("-")[0]):
            at_once = self.description["nodeTypes"][kind].get("maxUnavailable", 1)
            there = [name for name in names if any(part(name, each) in before for each in ("-guest", "-node"))]
            down = {name for name in there if not is_up(name, before)}
            starts = {name: found for name in there if name not in down and (found := goes_down(name, before, after))}
            most = max(
                (len(each) for each in subsets([*down, *starts]) if at_the_same_time(each, starts, after)), default=0
            )
            assert most <= max(at_once, len(down)), f"{kind}: {most} down at once"

    def _assert_removed_nodes_leave(self, before: Stack, after: Stack) -> None:
        taken_back = {each.name: each for each in deletions(before, after)}
        for key, each in before.items():
            goes = key not in after and each.name.endswith("-node") and present(before, key)
            # Steps whose host was forgotten have none: test_a_node_leaves_when_its_control_plane_was_forgotten.
            if goes and each.inputs.get("delete"):
                assert "remove-node" in taken_back[each.name].command
                assert taken_back[each.name].exists
                assert taken_back[each.name].host == f"{CLUSTER}-{FIRST}"
        dead = {each.host for each in taken_back.values() if not each.exists}
        assert dead <= self.refreshed


def is_up(worker: str, before: Stack) -> bool:
    """Whether all that a worker needs is there."""
    return all(present(before, part(worker, each)) for each in ("", "-guest", "-node"))


def goes_down(worker: str, before: Stack, after: Stack) -> frozenset[str]:
    """Keys of the resources any of which takes a node down when it is replaced or upgraded; none where it stays up."""
    node = part(worker, "-node")
    found = after[node]
    if found.done == "updated":
        upgraded = version_in(found) != version_in(before[node])
        return frozenset({node} if upgraded else ())
    if found.done != "replaced":
        return frozenset()
    starts, more = {node}, set(found.deleted_before)
    while more:
        starts |= more
        more = {each for key in more for each in after[key].deleted_before} - starts
    return frozenset(starts)


def version_in(node: Declared) -> str:
    """The version that a step is to bring to its node."""
    return next(word for word in str(node.inputs["create"]).split() if word.startswith("kubernetes="))


def subsets(names: list[str]) -> Iterator[tuple[str, ...]]:
    """All of them, the empty one left out."""
    return (each for size in range(1, len(names) + 1) for each in combinations(names, size))


def at_the_same_time(names: tuple[str, ...], starts: Mapping[str, frozenset[str]], after: Stack) -> bool:
    """Whether workers can be down at once: none of them goes down only after another one is Ready again."""
    return not any(
        all(part(one, "-node") in ancestors(key, after) for key in starts.get(other, ("",)))
        for one in names
        for other in names
        if one != other
    )


def ancestors(key: str, after: Stack) -> set[str]:
    """All that is created before a resource."""
    found: set[str] = set()
    more = set(after[key].requires) if key else set()
    while more:
        found |= more
        more = {each for name in more for each in after[name].requires} - found
    return found


def assert_no_cycle(after: Stack) -> None:
    """Raises CycleError where there is one."""
    TopologicalSorter({key: each.requires for key, each in after.items()}).prepare()


def summary(kept: Mapping[str, Declared]) -> dict[str, object]:
    """What of a stack has nothing to do with how it came to be: what there is, and what of it edits are for."""
    found: dict[str, object] = {}
    for key, each in kept.items():
        assert not each.pending
        assert not each.lost
        found[key] = each.inputs.get("flavorName")
        if key.endswith("-guest"):
            found[key] = [*each.inputs["triggers"]][2:]
        if key.endswith("-node"):
            found[key] = version_in(each) if "kubernetes=" in str(each.inputs["create"]) else ""
    return found


@seed(SEED)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    # A failure is repeated by its seed: to look for a smaller one takes minutes.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(description=bases, story=st.lists(steps, min_size=1, max_size=6))
def test_random_edits_cost_what_they_have_to(description: dict[str, Any], story: list[Step], keys: str) -> None:
    print(f"Q8S_SEED={SEED}")
    cluster = Story(description, keys)
    for step in story:
        cluster.do(step)
    cluster.run()
    # Without the steps by which workers left that were never Ready.
    cluster.run()
    assert all(each.done in ("component", "unchanged") for each in cluster.stack.values())
    assert summary(cluster.stack) == summary(stack({"cluster": cluster.description}, CLUSTER, keys))
