"""Fields that take a name or an id: Pulumi's provider is asked for what it takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pulumi
import pulumi_openstack as openstack
import pytest

from q8s_infra.components import network

ID = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the provider is asked for; it answers with an id and a name."""
    words: list[dict[str, Any]] = []

    def answer(*, opts: pulumi.InvokeOptions, **given: Any) -> SimpleNamespace:
        assert isinstance(opts, pulumi.InvokeOptions)
        words.append(given)
        return SimpleNamespace(id="the id", name="the name")

    for function in ("get_network", "get_sec_group", "get_subnet"):
        monkeypatch.setattr(openstack.networking, function, answer)
    return words


def test_a_network_and_a_security_group_by_name(asked: list[dict[str, Any]]) -> None:
    opts = pulumi.InvokeOptions()
    assert network._network_id("lan", opts) == network._group_id("web", opts) == "the id"
    assert asked == [{"name": "lan"}, {"name": "web"}]


def test_an_id_is_taken_as_it_is(asked: list[dict[str, Any]]) -> None:
    opts = pulumi.InvokeOptions()
    assert network._network_id(ID, opts) == network._group_id(ID, opts) == network._subnet_id(ID, ID, opts) == ID
    assert asked == []


def test_an_external_network_is_named_to_the_provider(asked: list[dict[str, Any]]) -> None:
    opts = pulumi.InvokeOptions()
    assert network._network_name("wan", opts) == "wan"
    assert asked == []
    assert network._network_name(ID, opts) == "the name"
    assert asked == [{"network_id": ID}]
