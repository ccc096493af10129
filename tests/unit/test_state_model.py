"""The state as the engine writes it: pending replacements, resources on their way out, interrupted creations."""

from __future__ import annotations

from q8s_infra.state.model import INSTANCE, StackState

URN = f"urn:pulumi:dev::q8s::q8s:index:Cluster$q8s:index:Host${INSTANCE}::demo-arm-0"
PRESENT = {"urn": URN, "type": INSTANCE, "id": "1", "custom": True, "outputs": {"id": "1", "name": "demo-arm-0"}}


def test_a_resource_that_only_waits_for_its_deletion_is_left_out() -> None:
    leaving = {**PRESENT, "id": "0", "delete": True}
    bare = {"urn": "urn:pulumi:dev::q8s::q8s:index:Cluster::demo", "type": "q8s:index:Cluster"}
    known = StackState.from_deployment({"resources": [leaving, PRESENT, bare]})
    assert [each.name for each in known.resources] == ["demo-arm-0", "demo"]
    assert known.ids(INSTANCE) == {"1"}
    assert known.outputs("q8s:index:Cluster", "demo") == {}
    assert known.cluster_names() == ("demo",)


def test_a_resource_that_is_pending_replacement_is_not_present() -> None:
    known = StackState.from_deployment({"resources": [{**PRESENT, "pendingReplacement": True}]})
    assert not known.has(INSTANCE, "demo-arm-0")
    assert known.is_pending(INSTANCE, "demo-arm-0")
    assert known.ids(INSTANCE) == frozenset()
    assert known.outputs(INSTANCE, "demo-arm-0") == {}


def test_a_creation_that_was_cut_off_is_known_by_type_and_name() -> None:
    operations = [
        {"resource": {"urn": URN, "type": INSTANCE}, "type": "creating"},
        {"resource": {"urn": URN.replace("arm-0", "arm-1"), "type": INSTANCE}, "type": "deleting"},
    ]
    known = StackState.from_deployment({"resources": [], "pending_operations": operations})
    assert known.is_creating(INSTANCE, "demo-arm-0")
    assert not known.is_creating(INSTANCE, "demo-arm-1")
    assert not known.is_creating("openstack:networking/port:Port", "demo-arm-0")


def test_a_new_stack_has_no_resources() -> None:
    assert StackState.from_deployment(None) == StackState.from_deployment({"manifest": {}}) == StackState()


def test_a_state_can_be_read_from_outputs_alone() -> None:
    known = StackState.from_outputs({URN: {"type": INSTANCE, "outputs": {"id": "1"}}})
    assert known.ids(INSTANCE) == {"1"}


def test_a_creation_that_a_later_run_finished_is_no_interrupted_one() -> None:
    # The engine keeps the operation for good.
    operation = {"resource": {"urn": URN, "type": INSTANCE}, "type": "creating"}
    known = StackState.from_deployment({"resources": [PRESENT], "pending_operations": [operation]})
    assert not known.is_creating(INSTANCE, "demo-arm-0")
