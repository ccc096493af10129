"""What failed runs, refreshes and `q8s forget` leave, and what the next run makes of it."""

from __future__ import annotations

import pytest

from tests.program.engine import deletions, forgotten, refreshed, stopped
from tests.program.recorded import Declared
from tests.program.test_edits import CONTROL_PLANE, Change, cost, described, leave, of, put, shipped, stack

FLAVOR = put("nodeTypes/board/flavor", "c1.huge")
FEWER = put("workers/board", 2)
LAST = "Instance mixed-board-2"


def after(before: dict[str, Declared], keys: str, *changes: Change) -> dict[str, Declared]:
    return stack({"cluster": described("mixed", *changes)}, "mixed", keys, before)


@pytest.fixture
def failed(keys: str) -> dict[str, Declared]:
    """The first of three hosts was deleted for another flavor, and could not be created."""
    before = shipped("mixed", keys, leave)
    return stopped(before, after(before, keys, FLAVOR), {"Instance mixed-board-0"}, carries_on=True)


def pending(kept: dict[str, Declared]) -> set[str]:
    return {each.name.removeprefix("mixed-") for each in kept.values() if each.pending}


def test_a_host_that_could_not_be_created_is_pending_with_all_on_it(failed: dict[str, Declared]) -> None:
    assert pending(failed) == of("board-0", "", "-scripts", "-host", "-guest", "-node")
    assert failed["Instance mixed-board-0"].outputs["flavorName"] == "c1.large"


def test_those_that_wait_for_it_stay_as_they_were(failed: dict[str, Declared], keys: str) -> None:
    before = shipped("mixed", keys, leave)
    for key in before:
        if "board-1" in key or "board-2" in key:
            assert failed[key].inputs == before[key].inputs


def test_a_refresh_leaves_pending_resources_alone(failed: dict[str, Declared]) -> None:
    assert refreshed(failed, {"Instance mixed-board-0"}) == failed


@pytest.mark.parametrize("changes", [[], [FLAVOR]], ids=["reverted", "with the edit"])
def test_the_next_run_creates_what_is_pending(failed: dict[str, Declared], changes: list[Change], keys: str) -> None:
    again = after(failed, keys, *changes)
    assert not pending(again)
    assert of("board-0", "", "-scripts", "-host", "-guest", "-node") <= cost(failed, again, "mixed").replaced


def test_a_resource_that_is_new_is_not_there_after_its_creation_failed(keys: str) -> None:
    before = shipped("mixed", keys, leave)
    made = after(before, keys, put("workers/gateway", 6))
    left = stopped(before, made, {"Instance mixed-gateway-5"})
    assert "Instance mixed-gateway-5" not in left
    assert "Port mixed-gateway-5-port" in left
    assert not pending(left)


def test_a_failed_run_deletes_nothing_that_is_not_declared_any_more(keys: str) -> None:
    before = shipped("mixed", keys, leave)
    made = after(before, keys, FEWER, put("nodeTypes/gateway/labels", {"tier": "other"}))
    left = stopped(before, made, {"Command mixed-gateway-0-node"}, carries_on=True)
    assert LAST in left


def test_after_a_refresh_nothing_is_deleted_on_a_lost_host(keys: str) -> None:
    lost = refreshed(shipped("mixed", keys, leave), {LAST})
    found = {each.name: each.exists for each in deletions(lost, after(lost, keys, FEWER))}
    assert found == {"mixed-board-2-node": True}


def test_after_forget_only_the_node_of_a_lost_host_is_deleted(keys: str) -> None:
    lost = forgotten(shipped("mixed", keys, leave), ["mixed-board-2"])
    found = {each.name: each.exists for each in deletions(lost, after(lost, keys, FEWER))}
    assert found == {"mixed-board-2-node": True}


def test_a_forgotten_control_plane_comes_back(keys: str) -> None:
    lost = forgotten(shipped("mixed", keys, leave), ["mixed-control-plane-1"])
    found = cost(lost, after(lost, keys), "mixed")
    assert found.created == of("control-plane-1", "")
    assert found.replaced == of("control-plane-1", *CONTROL_PLANE) - of("control-plane-1", "", "-port")


def test_a_node_leaves_when_its_control_plane_was_forgotten(keys: str) -> None:
    lost = forgotten(shipped("mixed", keys, leave), ["mixed-control-plane-0"])
    found = {each.name: each.exists for each in deletions(lost, after(lost, keys, FEWER))}
    assert found == {"mixed-board-2-node": True}


def test_no_worker_goes_down_while_more_than_allowed_are(keys: str) -> None:
    names = ("mixed-board-0", "mixed-board-1")
    lost = forgotten(shipped("mixed", keys, leave), names)
    made = after(lost, keys, put("nodeTypes/board/memory", "3GiB"))
    waits: set[str] = set()
    more = set(made["Command mixed-board-2-guest"].requires)
    while more:
        waits |= more
        more = {each for key in more for each in made[key].requires} - waits
    assert {f"Command {name}-node" for name in names} <= waits
