"""Hosts that no longer exist leave the state, and no step on them is deleted by logging in to them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from q8s_infra.forget import StillThere, forgotten
from q8s_infra.state.model import COMMAND, COPY, INSTANCE

LOST, LIVING = "demo-arm-0", "demo-control-plane-0"


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:dev::q8s::{kind}::{name}"


def host(name: str, identity: str) -> list[dict[str, Any]]:
    instance, scripts = urn(INSTANCE, name), urn(COPY, f"{name}-scripts")
    return [
        {"urn": instance, "type": INSTANCE, "id": identity, "outputs": {"id": identity}},
        {"urn": scripts, "type": COPY, "deletedWith": instance, "dependencies": [instance]},
    ]


def step(name: str, on: str, *after: str) -> dict[str, Any]:
    return {
        "urn": urn(COMMAND, name),
        "type": COMMAND,
        "deletedWith": urn(INSTANCE, on),
        "dependencies": [urn(INSTANCE, on), urn(COPY, f"{on}-scripts"), *after],
        "propertyDependencies": {"connection": [urn(INSTANCE, on)], "stdin": None},
        "inputs": {"create": "up", "delete": "down"},
        "outputs": {"create": "up", "delete": "down"},
    }


DEPLOYMENT = {
    "manifest": {"version": "3"},
    "resources": [
        *host(LIVING, "1"),
        *host(LOST, "2"),
        step(f"{LOST}-guest", LOST),
        step(f"{LOST}-node", LIVING, urn(COMMAND, f"{LOST}-guest"), urn(INSTANCE, LOST)),
    ],
    "pending_operations": [{"resource": {"urn": urn(INSTANCE, LOST)}, "type": "deleting"}],
}


def known(deployment: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["urn"].rpartition("::")[2]: each for each in deployment["resources"]}


def test_a_lost_host_leaves_the_state_and_nothing_refers_to_it() -> None:
    before = copy.deepcopy(DEPLOYMENT)
    after = forgotten(DEPLOYMENT, [LOST], there=["1"])
    assert before == DEPLOYMENT
    assert urn(INSTANCE, LOST) not in repr(after)
    assert known(after).keys() == known(DEPLOYMENT).keys() - {LOST}
    assert "pending_operations" not in after


def test_steps_on_a_lost_host_have_no_deletion_any_more() -> None:
    after = known(forgotten(DEPLOYMENT, [LOST], there=["1"]))
    assert "delete" not in after[f"{LOST}-guest"]["inputs"]
    assert "delete" not in after[f"{LOST}-guest"]["outputs"]
    # It runs on the control plane, which takes the node out of the cluster.
    assert after[f"{LOST}-node"]["inputs"]["delete"] == "down"


def test_a_host_that_a_refresh_has_taken_from_the_state_can_be_forgotten() -> None:
    resources = [dict(each) for each in DEPLOYMENT["resources"] if each["urn"] != urn(INSTANCE, LOST)]
    for each in resources:
        if each.get("deletedWith") == urn(INSTANCE, LOST):
            del each["deletedWith"]
    after = known(forgotten({"resources": resources}, [LOST], there=["1"]))
    assert "delete" not in after[f"{LOST}-guest"]["inputs"]


@pytest.mark.parametrize(("name", "words"), [(LIVING, "instance 1 exists"), ("demo-arm-9", "no host of this name")])
def test_a_host_that_exists_or_is_unknown_is_refused(name: str, words: str) -> None:
    with pytest.raises(StillThere, match=words):
        forgotten(DEPLOYMENT, [name], there=["1"])
