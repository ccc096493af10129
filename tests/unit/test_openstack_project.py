"""The project, the region and the endpoint of a stack, and what follows where the credentials lead elsewhere."""

from __future__ import annotations

import pytest

from q8s_infra.openstack_project import OUTPUT, OpenStackProject, mismatch, recorded
from q8s_infra.state.model import CLUSTER, PORT, StackState
from tests.unit.states import state

HERE = OpenStackProject("p1", "RegionOne", "https://nova.example/v2.1")
URN = "urn:pulumi:dev::q8s::"


def test_the_component_has_the_record() -> None:
    known = state({f"{URN}{CLUSTER}::demo": {"type": CLUSTER, "outputs": {OUTPUT: HERE.output()}}})
    assert recorded(known) == HERE


def test_a_stack_of_an_earlier_release_has_project_and_region_with_its_ports() -> None:
    outputs = {"tenantId": "p1", "region": "RegionOne"}
    known = state({f"{URN}{CLUSTER}::demo": {"type": CLUSTER}, f"{URN}{PORT}::x": {"type": PORT, "outputs": outputs}})
    assert recorded(known) == OpenStackProject("p1", "RegionOne")
    assert recorded(StackState()) == OpenStackProject()


@pytest.mark.parametrize(
    ("asked", "missing", "words"),
    [
        (HERE, True, None),
        (OpenStackProject("p2", "RegionOne", HERE.endpoint), False, "another project;"),
        (OpenStackProject("p1", "RegionTwo", HERE.endpoint), False, "another region;"),
        (OpenStackProject("p2", "RegionTwo", "https://other"), False, "another project and region;"),
        # What is not known is not compared.
        (OpenStackProject("p1"), True, None),
        (OpenStackProject("p1", "", "https://nova.example:8774/v2.1"), True, None),
        (OpenStackProject("", "", "https://other"), False, None),
        (OpenStackProject("", "", "https://other"), True, "another endpoint;"),
    ],
)
def test_another_project_or_region_is_told(asked: OpenStackProject, missing: bool, words: str | None) -> None:
    text = mismatch(HERE, asked, missing=missing)
    assert (text is None) is (words is None)
    assert words is None or (text and words in text and str(asked) in text)
