"""What a killed run left behind is told from all else that a project has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest

from q8s_infra.strays import Lost, Port, Server, Stray, how_to_forget, ids, lost, remove, strays

OURS, THEIRS = frozenset({"our-group"}), frozenset({"their-group"})
KNOWN = {
    "openstack:compute/instance:Instance": frozenset({"known"}),
    "openstack:networking/port:Port": frozenset({"known"}),
    "openstack:networking/secGroup:SecGroup": OURS,
}


@dataclass
class SmallCloud:
    """A project with these instances and ports."""

    has: Sequence[Server | Port]
    deleted: list[tuple[str, str]] = field(default_factory=list)

    def all_servers(self) -> Iterable[Server]:
        return (each for each in self.has if isinstance(each, Server))

    def ports(self) -> Iterable[Port]:
        return (each for each in self.has if isinstance(each, Port))

    def delete(self, kind: Literal["instance", "port"], identity: str) -> None:
        self.deleted.append((kind, identity))


@pytest.mark.parametrize(
    "stray", [Server("new", "demo-x86-0", "our-group"), Port("new", "demo-x86-0", OURS, free=True)], ids=str
)
def test_what_is_ours_and_unknown_is_a_stray(stray: Server | Port) -> None:
    kind: Literal["instance", "port"] = "instance" if isinstance(stray, Server) else "port"
    assert strays("demo", KNOWN, SmallCloud([stray])) == (Stray(kind, "new", "demo-x86-0"),)


@pytest.mark.parametrize(
    "other",
    [
        Server("known", "demo-x86-0", "our-group"),
        Server("new", "demo-x86-0", "their-group"),
        Server("new", "demo-x86-0", ""),
        Server("new", "demo2-x86-0", "our-group"),
        Port("known", "demo-x86-0", OURS, free=True),
        Port("new", "demo-x86-0", OURS, free=False),
        Port("new", "demo-x86-0", THEIRS, free=True),
        Port("new", "demo2-x86-0", OURS, free=True),
        Port("new", "", OURS, free=True),
    ],
    ids=str,
)
def test_nothing_else_is(other: Server | Port) -> None:
    assert not strays("demo", KNOWN, SmallCloud([other]))


def test_a_stack_that_knows_nothing_has_no_strays() -> None:
    left = [Server("new", "demo-x86-0", ""), Port("new", "demo-x86-0", OURS, free=True)]
    assert not strays("demo", {}, SmallCloud(left))


def test_instances_go_before_ports() -> None:
    cloud = SmallCloud([Port("p", "demo-x86-1", OURS, free=True), Server("s", "demo-x86-0", "our-group")])
    remove(strays("demo", KNOWN, cloud), cloud)
    assert cloud.deleted == [("instance", "s"), ("port", "p")]


def test_the_ids_of_a_stack_are_those_of_its_resources() -> None:
    outputs = {
        "urn:1": {"type": "a", "outputs": {"id": "1"}},
        "urn:2": {"type": "a", "outputs": {"id": "2"}},
        "urn:3": {"type": "component", "outputs": {}},
    }
    assert ids(outputs) == {"a": {"1", "2"}}


def resource(identity: str, kind: str = "openstack:compute/instance:Instance") -> dict[str, object]:
    """What a stack's resource is read as."""
    return {"type": kind, "outputs": {"id": identity, "name": "demo-x86-0"}}


def test_an_instance_that_is_gone_is_lost() -> None:
    resources = {"urn:a$b::x": resource("there"), "urn:a$b::y": resource("gone"), "urn:p": resource("gone", "port")}
    (found,) = lost(resources, SmallCloud([Server("there", "demo-x86-0", ""), Server("theirs", "demo-x86-0", "")]))
    assert found == Lost("urn:a$b::y", "gone", "demo-x86-0")
    told = how_to_forget([found], ["demo-control-plane-0"])
    assert "demo-x86-0 (gone)" in told
    assert "pulumi refresh --yes --target 'urn:a$b::y'" in told
    assert "restore" not in told


def test_a_lost_last_control_plane_is_for_a_snapshot() -> None:
    first, second = Lost("urn:1", "1", "demo-control-plane-0"), Lost("urn:2", "2", "demo-control-plane-1")
    planes = [first.name, second.name]
    assert "restore" not in how_to_forget([first], planes)
    assert "python -m q8s_infra restore" in how_to_forget([first, second], planes)


def test_a_stack_of_its_own_has_lost_nothing() -> None:
    assert lost({"urn:x": resource("there")}, SmallCloud([Server("there", "demo-x86-0", "")])) == ()
    assert lost({}, SmallCloud([])) == ()
