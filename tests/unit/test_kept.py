"""What a cluster keeps is refused another value, by its field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from q8s_infra.arch import ARCHITECTURES
from q8s_infra.kept import image_field, made_with, moved, recorded_fields, refused, renamed, with_running_values
from q8s_infra.plan import plan
from q8s_infra.spec import ClusterSpec, GuestImage, load
from q8s_infra.spec.load import merged
from q8s_infra.state.model import ARTIFACTS, CLUSTER, COMMAND, CONTROL_PLANE, PORT, StackState
from q8s_infra.versions import KUBERNETES
from tests.unit import rendered
from tests.unit.states import state


def spec(changes: dict[str, Any]) -> ClusterSpec:
    """The smallest shipped description, changed."""
    description = merged(rendered.shipped("dev"), changes)
    return load({"cluster": description}, "dev", base=rendered.REPOSITORY)


URN = "urn:pulumi:dev::q8s::"


def stack(kept: dict[str, str], name: str = "dev") -> StackState:
    """A stack with a cluster that was made with these fields."""
    cluster = f"{URN}{CLUSTER}::{name}"
    return state(
        {
            f"{URN}{PORT}::{name}-control-plane-0-port": {"type": PORT, "outputs": {"id": "1", "networkId": "net"}},
            cluster: {"type": CLUSTER, "outputs": {"endpoint": "10.0.0.1:6443", "kept": kept}},
            f"{cluster}${CONTROL_PLANE}::{name}-control-plane-0": {"type": CONTROL_PLANE, "parent": cluster},
        }
    )


@pytest.mark.parametrize(
    ("changes", "path", "former"),
    [
        ({"kubernetes": {"podCidr": "10.200.0.0/16"}}, "kubernetes.podCidr", "10.244.0.0/16"),
        ({"kubernetes": {"nodeCidrMaskSize": 25}}, "kubernetes.nodeCidrMaskSize", "24"),
        ({"kubernetes": {"serviceCidr": "10.97.0.0/16"}}, "kubernetes.serviceCidr", "10.96.0.0/12"),
        ({"kubernetes": {"cgroupDriver": "cgroupfs"}}, "kubernetes.cgroupDriver", "systemd"),
        ({"network": {"name": "private", "guestLink": "10.9.9.0/30"}}, "network.guestLink", "192.168.123.0/30"),
        ({"nodePorts": "30000-31000"}, "nodePorts", "30000-32767"),
    ],
)
def test_another_value_of_an_immutable_field_is_refused(changes: dict[str, Any], path: str, former: str) -> None:
    before = made_with(stack(recorded_fields(spec({}))), "dev")
    (mistake,) = refused(before, spec(changes))
    assert str(mistake).startswith(f"{path}: cannot be changed: the cluster was made with {former}")


def test_what_has_not_changed_is_not_refused() -> None:
    before = made_with(stack(recorded_fields(spec({}))), "dev")
    assert set(before) == set(recorded_fields(spec({})))
    assert refused(before, spec({"workers": {"x86-small": 3}})) == ()


def test_a_stack_without_a_cluster_keeps_nothing() -> None:
    assert made_with(StackState(), "dev") == {}
    assert refused(made_with(StackState(), "dev"), spec({"nodePorts": "30000-31000"})) == ()


OLD = GuestImage(url="https://images.example/ubuntu/release-20250101/old.img")
OWN = GuestImage(url="https://images.example/own.img", sha256="a" * 64)


def made_from(**images: GuestImage) -> StackState:
    """A stack whose guests were made from these images."""
    resources = {
        f"urn:pulumi:dev::q8s::{ARTIFACTS}::dev-control-plane-0-{name}": {
            "type": ARTIFACTS,
            "outputs": {"image": image_field(image)},
        }
        for name, image in images.items()
    }
    return state(resources)


def test_guests_keep_their_image_where_no_other_is_asked_for() -> None:
    asked = spec({}).model_copy(update={"guest_images": {}})
    found = with_running_values(asked, made_from(x86_64=OLD, arm64=OWN))
    assert (found.guest_image("x86_64"), found.guest_image("arm64")) == (OLD, OWN)
    found = with_running_values(asked, made_from(arm64=OWN))
    assert found.guest_image("x86_64").url == ARCHITECTURES["x86_64"].image_url


def test_an_image_that_is_asked_for_is_taken() -> None:
    asked = spec({}).model_copy(update={"guest_images": {"x86_64": OWN}})
    found = with_running_values(asked, made_from(x86_64=OLD, arm64=OLD))
    assert (found.guest_image("x86_64"), found.guest_image("arm64")) == (OWN, OLD)


@pytest.mark.parametrize("pending", [False, True])
def test_a_cluster_keeps_its_version_where_no_other_is_asked_for(*, pending: bool) -> None:
    """Also while its only control plane is made again."""
    runs = state(
        {
            f"{URN}{COMMAND}::{name}-control-plane-0-upgrade": {"type": COMMAND, "outputs": {"stdout": version}}
            for name, version in (("dev", "v1.33.9"), ("other", "v1.34.1"))
        }
    )
    assert not runs.resources[0].pending
    runs = replace(runs, resources=tuple(replace(each, pending=pending) for each in runs.resources))
    assert with_running_values(spec({}), runs).kubernetes.version == "1.33.9"
    assert with_running_values(spec({"kubernetes": {"podCidr": "10.200.0.0/16"}}), runs).kubernetes.version == "1.33.9"
    assert with_running_values(spec({"kubernetes": {"version": "1.34.2"}}), runs).kubernetes.version == "1.34.2"
    assert with_running_values(spec({}), StackState()).kubernetes.version == KUBERNETES


@pytest.mark.parametrize("changes", [{"name": "other"}, {"controlPlanes": {"name": "main"}}])
def test_another_name_is_refused_before_it_replaces_the_cluster(changes: dict[str, Any]) -> None:
    (mistake,) = renamed(plan(spec(changes)), stack({}))
    assert mistake.path == ("name" if "name" in changes else "controlPlanes.name")
    assert mistake.allowed.startswith("cannot be changed: ")
    assert "dev" in mistake.allowed


def test_the_names_that_a_cluster_has_are_accepted() -> None:
    assert list(renamed(plan(spec({})), stack({}))) == []
    assert list(renamed(plan(spec({"name": "other"})), StackState())) == []


def test_each_cluster_of_a_stack_keeps_its_own_fields() -> None:
    both = stack({"nodePorts": "30000-30100"}, "one").resources + stack({"nodePorts": "31000-31100"}, "two").resources
    assert made_with(StackState(both), "two")["nodePorts"] == "31000-31100"


@pytest.mark.parametrize("cidr", ["192.168.123.0/24", "10.254.1.0/24"])
@pytest.mark.parametrize("recorded", [{}, {"network.guestLink": "172.29.123.0/30"}])
def test_a_cluster_keeps_its_link_whatever_ranges_are_described_later(recorded: dict[str, str], cidr: str) -> None:
    """Earlier releases had one link, and did not record it."""
    there = stack({"nodePorts": "30000-32767", **recorded})
    asked = with_running_values(spec({"network": {"name": "private", "cidr": cidr}}), there)
    assert str(asked.guest_link.cidr) == recorded.get("network.guestLink", "192.168.123.0/30")
    assert refused(made_with(there, "dev"), asked) == ()


def test_another_network_is_refused_before_it_replaces_every_host() -> None:
    (mistake,) = moved(plan(spec({})), stack({}), ["other"])
    assert mistake.path.startswith("network.")
    assert "hosts are on network net" in mistake.allowed
    assert list(moved(plan(spec({})), stack({}), ["other", "net"])) == []
    assert list(moved(plan(spec({})), StackState(), ["other"])) == []
