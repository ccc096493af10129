"""Which workers are made anew, in which order, and what is said of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.rollout import Rollout, Turn, What, guest_parts, replaced_hosts, rollout
from q8s_infra.spec import validated
from q8s_infra.state.model import StackState
from tests.unit.specs import GOOD
from tests.unit.states import state


def planned(**arm: object) -> ClusterPlan:
    """Four workers of a type with these fields, and one of another."""
    description = copy.deepcopy(GOOD)
    description["nodeTypes"]["arm"].update(arm)
    description["workers"] = {"arm": 4, "x86": 1}
    return plan(validated(description))


def stack(made: ClusterPlan, *missing: str, version: str = "", pending: tuple[str, ...] = ()) -> StackState:
    """What a stack knows of nodes that run a version; some of it is missing, or pending replacement."""
    known: dict[str, Mapping[str, Any]] = {}
    for worker in made.workers:
        triggers = ["instance id", "cluster", *guest_parts(made.spec, worker)]
        parts = {
            "": ("openstack:compute/instance:Instance", {"flavorName": worker.flavor}),
            "-guest": ("command:remote:Command", {"triggers": triggers}),
            "-node": ("command:remote:Command", {"stdout": version}),
        }
        for suffix, (kind, outputs) in parts.items():
            known[f"urn:pulumi:dev::q8s::{kind}::{worker.name}{suffix}"] = {"type": kind, "outputs": outputs}
    for node in made.control_planes:
        urn = f"urn:pulumi:dev::q8s::command:remote:Command::{node.name}-upgrade"
        known[urn] = {"type": "command:remote:Command", "outputs": {"stdout": version}}
    return state({urn: each for urn, each in known.items() if urn.rpartition("::")[2] not in missing}, *pending)


def test_what_stays_is_not_said() -> None:
    assert rollout(planned(), stack(planned())) == Rollout({})


def test_a_new_stack_waits_for_nothing() -> None:
    assert rollout(planned(), StackState()) == Rollout({})


def test_one_follows_the_other() -> None:
    rolled = rollout(planned(memory="5GiB"), stack(planned()))
    assert rolled.turns == {f"demo-arm-{number}": Turn((f"demo-arm-{number - 1}",), What.GUEST) for number in (1, 2, 3)}
    assert rolled.notes == (
        "demo-arm-0 and 3 more of its type are made anew, 1 at a time (maxUnavailable): memory 5GiB, was 4GiB",
    )


def test_as_many_at_a_time_as_the_type_allows() -> None:
    rolled = rollout(planned(cpus=4, maxUnavailable=2), stack(planned()))
    assert {name: turn.after[0] for name, turn in rolled.turns.items()} == {
        "demo-arm-2": "demo-arm-0",
        "demo-arm-3": "demo-arm-1",
    }


def test_another_flavor_is_another_host() -> None:
    turns = rollout(planned(flavor="c1.huge"), stack(planned())).turns
    assert turns["demo-arm-1"] == Turn(("demo-arm-0",), What.HOST)


def test_those_that_are_down_already_go_first() -> None:
    broken = stack(planned(), "demo-arm-2-node", "demo-arm-3")
    turns = rollout(planned(memory="5GiB"), broken).turns
    assert {name: turn.after for name, turn in turns.items()} == {
        "demo-arm-0": ("demo-arm-2", "demo-arm-3"),
        "demo-arm-1": ("demo-arm-0",),
    }


def test_one_that_goes_with_a_guest_and_without_a_node_is_half_made() -> None:
    fewer = plan(planned().spec.model_copy(update={"workers": {"arm": 2, "x86": 1}}))
    assert rollout(fewer, stack(planned(), "demo-arm-1-node", "demo-arm-3-node")).half_made == ("demo-arm-3",)
    assert rollout(fewer, stack(planned(), "demo-arm-3-node", "demo-arm-3-guest")).half_made == ()


def test_one_that_is_new_is_in_no_queue() -> None:
    former = stack(planned(), "demo-arm-3", "demo-arm-3-guest", "demo-arm-3-node")
    assert "demo-arm-3" not in rollout(planned(memory="5GiB"), former).turns


def test_a_guest_of_an_older_form_is_told_apart() -> None:
    older = {"triggers": ["instance id", "cluster", "hash"]}
    former = (
        replace(each, outputs=older) if each.name.endswith("-guest") else each for each in stack(planned()).resources
    )
    (arm, x86) = rollout(planned(), StackState(tuple(former))).notes
    assert "memory 4GiB, was unknown" in arm
    assert x86.startswith("demo-x86-0 is made anew: ")


def other_version(**arm: object) -> ClusterPlan:
    cluster = planned(**arm)
    return replace(
        cluster,
        spec=cluster.spec.model_copy(
            update={"kubernetes": cluster.spec.kubernetes.model_copy(update={"version": "1.34.9"})}
        ),
    )


def test_another_version_goes_from_node_to_node_and_makes_none_anew() -> None:
    rolled = rollout(other_version(maxUnavailable=2), stack(planned(), version="v1.34.4\n"))
    assert rolled.upgrading
    assert rolled.turns == {
        "demo-arm-2": Turn(("demo-arm-0",), What.NODE),
        "demo-arm-3": Turn(("demo-arm-1",), What.NODE),
    }
    assert rolled.notes == (
        "Kubernetes 1.34.9: control planes get it one after the other, and workers then",
        "demo-arm-0 and 3 more of its type are upgraded, 2 at a time (maxUnavailable): Kubernetes 1.34.9, was 1.34.4",
        "demo-x86-0 is upgraded: Kubernetes 1.34.9, was 1.34.4",
    )


def test_a_guest_that_is_made_anew_comes_in_the_new_version() -> None:
    rolled = rollout(other_version(memory="5GiB"), stack(planned(), version="v1.34.4\n"))
    assert rolled.turns["demo-arm-1"] == Turn(("demo-arm-0",), What.GUEST)
    assert rolled.upgrading


def test_workers_that_were_left_behind_wait_for_no_control_plane() -> None:
    later = {"stdout": "v1.34.9\n"}
    known = stack(planned(), version="v1.34.4\n").resources
    upgraded = (replace(each, outputs=later) if each.name.endswith("-upgrade") else each for each in known)
    rolled = rollout(other_version(), StackState(tuple(upgraded)))
    assert not rolled.upgrading
    assert set(rolled.turns) == {"demo-arm-1", "demo-arm-2", "demo-arm-3"}


@pytest.mark.parametrize("failed", ["demo-arm-0", "demo-arm-0-guest", "demo-arm-0-node"])
def test_a_failed_rolling_replacement_goes_on_with_the_worker_that_failed(failed: str) -> None:
    # The engine deleted it before its replacement, which failed: it stays in the state, pending replacement.
    turns = rollout(planned(memory="5GiB"), stack(planned(), pending=(failed,))).turns
    assert turns == {
        "demo-arm-1": Turn(("demo-arm-0",), What.GUEST),
        "demo-arm-2": Turn(("demo-arm-1",), What.GUEST),
        "demo-arm-3": Turn(("demo-arm-2",), What.GUEST),
    }


def test_a_worker_that_is_down_counts_even_where_the_edit_is_not_for_it() -> None:
    done = stack(planned(memory="5GiB"), pending=("demo-arm-0-node",)).resources
    others = stack(planned()).resources
    mixed = [*(each for each in done if "arm-0" in each.name), *(each for each in others if "arm-0" not in each.name)]
    assert rollout(planned(memory="5GiB"), StackState(tuple(mixed))).turns["demo-arm-1"].after == ("demo-arm-0",)


def test_hosts_with_another_flavor_are_replaced() -> None:
    assert replaced_hosts(planned(), stack(planned())) == {}
    was = planned().spec.node_types["arm"].flavor
    assert replaced_hosts(planned(flavor="c1.huge"), stack(planned())) == {
        f"demo-arm-{number}": was for number in range(4)
    }
    # The engine has deleted this one already.
    assert "demo-arm-2" not in replaced_hosts(planned(flavor="c1.huge"), stack(planned(), pending=("demo-arm-2",)))


def test_while_more_are_down_than_allowed_all_of_them_are_waited_for() -> None:
    broken = stack(planned(), pending=("demo-arm-0-node", "demo-arm-1-node", "demo-arm-2-node"))
    turns = rollout(planned(memory="5GiB"), broken).turns
    assert turns == {"demo-arm-3": Turn(("demo-arm-0", "demo-arm-1", "demo-arm-2"), What.GUEST)}
    two = rollout(planned(memory="5GiB", maxUnavailable=2), broken).turns
    # One of them may still be down then.
    assert two == {"demo-arm-3": Turn(("demo-arm-0", "demo-arm-1"), What.GUEST)}
