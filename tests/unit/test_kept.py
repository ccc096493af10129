"""What a cluster keeps is refused another value, by its field."""

from __future__ import annotations

from typing import Any

import pytest

from q8s_infra.arch import ARCHITECTURES
from q8s_infra.kept import ARTIFACTS, COMPONENT, image_field, kept_fields, made_with, refused, with_images
from q8s_infra.spec import ClusterSpec, GuestImage, load
from q8s_infra.spec.load import merged
from tests.unit import rendered


def spec(changes: dict[str, Any]) -> ClusterSpec:
    """The smallest shipped description, changed."""
    description = merged(rendered.shipped("dev"), changes)
    return load({"cluster": description}, "dev", base=rendered.REPOSITORY)


def stack(kept: dict[str, str]) -> dict[str, dict[str, Any]]:
    """A stack's resources, with a cluster that was made with this."""
    return {
        "urn of a port": {"type": "openstack:networking/port:Port", "outputs": {"id": "1", "kept": "no"}},
        "urn of the cluster": {"type": COMPONENT, "outputs": {"endpoint": "10.0.0.1:6443", "kept": kept}},
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kubernetes": {"podCidr": "10.200.0.0/16"}}, "kubernetes.podCidr: the cluster was made with 10.244.0.0/16"),
        ({"kubernetes": {"nodeCidrMaskSize": 25}}, "kubernetes.nodeCidrMaskSize: the cluster was made with 24"),
        ({"kubernetes": {"serviceCidr": "10.97.0.0/16"}}, "kubernetes.serviceCidr: the cluster was made with 10.96.0"),
        ({"nodePorts": "30000-31000"}, "nodePorts: the cluster was made with 30000-32767"),
    ],
)  # fmt: skip
def test_another_value_is_refused_by_its_field(changes: dict[str, Any], said: str) -> None:
    before = made_with(stack(kept_fields(spec({}))))
    (mistake,) = refused(before, spec(changes))
    assert str(mistake).startswith(said)


def test_what_has_not_changed_is_not_refused() -> None:
    before = made_with(stack(kept_fields(spec({}))))
    assert set(before) == set(kept_fields(spec({})))
    assert refused(before, spec({"workers": {"x86-small": 3}})) == ()


def test_a_stack_without_a_cluster_keeps_nothing() -> None:
    assert made_with({}) == {}
    assert refused(made_with({}), spec({"nodePorts": "30000-31000"})) == ()


OLD = GuestImage(url="https://images.example/ubuntu/release-20250101/old.img")
OWN = GuestImage(url="https://images.example/own.img", sha256="a" * 64)


def made_from(**images: GuestImage) -> dict[str, dict[str, Any]]:
    """A stack's resources, with what guests of each architecture are made from."""
    return {
        f"urn:pulumi:dev::q8s::{ARTIFACTS}::dev-control-plane-0-{name}": {
            "type": ARTIFACTS,
            "outputs": {"image": image_field(image)},
        }
        for name, image in images.items()
    }


def test_guests_keep_their_image_where_no_other_is_asked_for() -> None:
    asked = spec({}).model_copy(update={"guest_images": {}})
    found = with_images(asked, made_from(x86_64=OLD, arm64=OWN))
    assert (found.guest_image("x86_64"), found.guest_image("arm64")) == (OLD, OWN)
    found = with_images(asked, made_from(arm64=OWN))
    assert found.guest_image("x86_64").url == ARCHITECTURES["x86_64"].image_url


def test_an_image_that_is_asked_for_is_taken() -> None:
    asked = spec({}).model_copy(update={"guest_images": {"x86_64": OWN}})
    found = with_images(asked, made_from(x86_64=OLD, arm64=OLD))
    assert (found.guest_image("x86_64"), found.guest_image("arm64")) == (OWN, OLD)
