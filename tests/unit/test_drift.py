"""Missing and orphaned instances, and the evidence that is needed before one is deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from q8s_infra.drift import (
    Missing,
    Orphan,
    Port,
    Server,
    how_to_recreate,
    how_to_resolve,
    missing,
    orphaned_instances,
    orphaned_ports,
    stranded,
    unused,
)
from q8s_infra.openstack_project import OpenStackProject
from q8s_infra.state.model import COMMAND, COPY, GROUP, INSTANCE, PORT, StackState
from tests.unit.states import state

OURS, THEIRS = frozenset({"our-group"}), frozenset({"their-group"})
URN = "urn:pulumi:dev::q8s::q8s:index:Cluster$q8s:index:Worker$q8s:index:Host$"
WORKER, FIRST = "demo-x86-0", "demo-control-plane-0"
PROJECT = OpenStackProject("4f1c", "RegionOne")


def stack(*creating: str) -> StackState:
    """A stack with a group, an instance and a port; a killed run had begun to create resources of these URNs."""
    return state(
        {
            f"{URN}{GROUP}::demo-group": {"type": GROUP, "outputs": {"id": "our-group"}},
            f"{URN}{INSTANCE}::{FIRST}": {"type": INSTANCE, "outputs": {"id": "known", "name": FIRST}},
            f"{URN}{PORT}::{FIRST}-port": {"type": PORT, "outputs": {"id": "known"}},
        },
        creating=creating,
    )


INTERRUPTED = stack(f"{URN}{INSTANCE}::{WORKER}", f"{URN}{PORT}::{WORKER}-port")


def test_an_instance_of_the_cluster_that_the_state_does_not_have_is_an_orphan() -> None:
    servers = [
        Server("known", FIRST, "our-group"),
        Server("new", WORKER, "our-group"),
        Server("theirs", WORKER, "their-group"),
        Server("nobody's", WORKER, ""),
        Server("baking", "demo-bake", "our-group"),
    ]
    assert list(orphaned_instances(stack(), servers, ignored=["demo-bake"])) == [
        Orphan("instance", "new", WORKER, interrupted=False)
    ]


def test_an_orphan_with_a_name_outside_the_plan_is_found_too() -> None:
    # Its metadata says whose it is, so its name does not matter: it may be a control plane with a name of its own.
    (orphan,) = orphaned_instances(INTERRUPTED, [Server("new", "main", "our-group")])
    assert not orphan.interrupted


def test_a_stack_without_a_group_has_no_orphans() -> None:
    assert list(orphaned_instances(StackState(), [Server("new", WORKER, "")])) == []
    assert list(orphaned_ports(StackState(), [Port("new", WORKER, OURS, free=True)], [WORKER])) == []


@pytest.mark.parametrize(
    "other",
    [
        Port("known", WORKER, OURS, free=True),
        Port("new", WORKER, OURS, free=False),
        Port("new", WORKER, THEIRS, free=True),
        Port("new", "demo-vip", OURS, free=True),
        Port("new", "", OURS, free=True),
    ],
    ids=str,
)
def test_other_ports_in_the_group_are_no_orphans(other: Port) -> None:
    assert list(orphaned_ports(INTERRUPTED, [other], [WORKER, FIRST])) == []


def test_a_free_port_with_the_exact_name_of_a_node_is_an_orphan() -> None:
    port = Port("new", WORKER, OURS, free=True)
    assert list(orphaned_ports(stack(), [port], [WORKER])) == [Orphan("port", "new", WORKER, interrupted=False)]
    # It was to belong to a node that the description no longer has.
    assert list(orphaned_ports(INTERRUPTED, [port], [])) == [Orphan("port", "new", WORKER, interrupted=True)]


@pytest.mark.parametrize(
    ("server", "known", "never_prepared", "deleted"),
    [
        # A state that is older than the cloud: nothing says that a run was interrupted.
        (Server("new", WORKER, "our-group"), stack(), True, False),
        (Server("new", WORKER, "our-group", launched=False), stack(), True, False),
        # A state that was saved while the engine created the instance, restored when the worker was Ready.
        (Server("new", WORKER, "our-group"), INTERRUPTED, False, False),
        (Server("new", WORKER, "our-group"), INTERRUPTED, True, True),
        # It never ran, so nothing can be on it.
        (Server("new", WORKER, "our-group", launched=False), INTERRUPTED, False, True),
        # A control plane that has been running is never deleted by inference.
        (Server("new", FIRST, "our-group"), stack(f"{URN}{INSTANCE}::{FIRST}"), True, False),
        (Server("new", FIRST, "our-group", launched=False), stack(f"{URN}{INSTANCE}::{FIRST}"), True, True),
    ],
)
def test_an_orphan_is_deleted_only_with_evidence(
    server: Server, known: StackState, never_prepared: bool, deleted: bool
) -> None:
    (orphan,) = orphaned_instances(known, [server])
    assert unused(orphan, [FIRST], lambda _: never_prepared) is deleted


def test_a_host_is_asked_only_where_a_run_was_interrupted() -> None:
    def asked(name: str) -> bool:
        raise AssertionError(name)

    (orphan,) = orphaned_instances(stack(), [Server("new", WORKER, "our-group")])
    assert not unused(orphan, [FIRST], asked)


def test_an_instance_that_the_project_does_not_have_is_missing() -> None:
    urn = f"{URN}{INSTANCE}::{FIRST}"
    assert missing(stack(), [Server("known", FIRST, "")]) == ()
    assert missing(stack(), [Server("other", FIRST, "")]) == (Missing(urn, "known", FIRST),)
    assert missing(StackState(), []) == ()


def test_an_instance_that_is_pending_replacement_is_not_missing() -> None:
    pending = StackState(tuple(replace(each, pending=True) for each in stack().resources))
    assert missing(pending, []) == ()


def test_missing_instances_are_listed_with_the_command_that_recreates_them() -> None:
    text = how_to_recreate(missing(stack(), []), PROJECT, [FIRST, "demo-control-plane-1"])
    assert f"{FIRST} (known)" in text
    assert "project 4f1c (region RegionOne)" in text
    assert f"python -m q8s_infra forget {FIRST}" in text
    assert "refresh" not in text
    assert "restore" not in text


def test_without_a_control_plane_left_a_backup_is_named() -> None:
    assert "python -m q8s_infra restore FILE" in how_to_recreate(missing(stack(), []), PROJECT, [FIRST])


def test_orphans_are_listed_with_the_commands_that_resolve_them() -> None:
    orphan = Orphan("instance", "new", WORKER, interrupted=False)
    host = f"{URN.removesuffix('$')}::{WORKER}"
    known = state({host: {"type": "q8s:index:Host"}})
    text = how_to_resolve([orphan], "dev", known)
    assert f"{WORKER} (new)" in text
    assert f"pulumi import {INSTANCE} {WORKER} new --parent host={host}" in text
    assert "openstack server delete new" in text
    assert "pulumi stack import --stack dev" in text


def test_steps_on_hosts_that_neither_state_nor_plan_has_are_stranded() -> None:
    scripts = f"{URN}{COPY}::{WORKER}-scripts"
    step = {"type": COMMAND, "inputs": {"delete": "down"}, "dependencies": (scripts,)}
    known = {scripts: {"type": COPY}, f"{URN}{COMMAND}::{WORKER}-guest": step}
    assert stranded(state(known), []) == (WORKER,)
    # The host is to be created again, or is there.
    assert stranded(state(known), [WORKER]) == ()
    there = {**known, f"{URN}{INSTANCE}::{WORKER}": {"type": INSTANCE}}
    assert stranded(state(there), []) == stranded(state(there, WORKER), []) == ()
    # Nothing would be done on it.
    assert stranded(state({**known, f"{URN}{COMMAND}::{WORKER}-guest": {**step, "inputs": {}}}), []) == ()
