"""Clusters of thousands of workers: no step of a rolling replacement is too deep for Python or for Pulumi's SDK."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from q8s_infra.components.order import Before
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.rollout import rollout
from q8s_infra.spec import validated
from tests.program.recorded import record, run
from tests.unit.specs import GOOD
from tests.unit.test_rollout import stack

MANY = 5000


def cluster(workers: int, memory: str) -> ClusterPlan:
    """A cluster with so many workers of a type."""
    description: dict[str, Any] = copy.deepcopy(GOOD)
    description["workers"] = {"arm": workers}
    description["nodeTypes"]["arm"]["memory"] = memory
    addresses = {"podCidr": "11.0.0.0/8", "nodeCidrMaskSize": 24}
    description["kubernetes"] = {**description.get("kubernetes", {}), **addresses}
    return plan(validated(description))


def test_a_rolling_replacement_of_5000_workers_has_an_order() -> None:
    turns = rollout(cluster(MANY, "5GiB"), stack(cluster(MANY, "4GiB"))).turns
    assert turns["demo-arm-4999"].after == ("demo-arm-4998",)
    assert len(turns) == MANY - 1


def test_a_chain_longer_than_the_recursion_limit_can_be_declared() -> None:
    def program() -> None:
        before: list[pulumi.Resource] = []
        for number in range(2 * sys.getrecursionlimit()):
            opts = pulumi.ResourceOptions(depends_on=before)
            before = [Before(local.Command(f"step-{number}", create="true", opts=opts))]

    declared = record(program).declared
    assert declared["Command step-1"].after == {"step-0"}
    assert declared["Command step-1999"].after == {"step-1998"}


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_5000_workers_are_declared_and_replaced(keys: str) -> None:
    first, _ = run(cluster(MANY, "4GiB"), keys)
    second, _ = run(cluster(MANY, "5GiB"), keys, first.declared)
    replaced = [each for each in second.declared.values() if each.done == "replaced"]
    assert len(replaced) == 2 * MANY
