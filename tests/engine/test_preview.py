"""The whole program under the real engine with the real plugins, on a new stack, without a cloud."""

from __future__ import annotations

from pathlib import Path

import pytest
from pulumi.automation import CommandError

from lab import scale

BESIDE = 26
"""Resources of every cluster: network, keys, rules, the first control plane and Flannel."""
A_NODE = 8
"""A further control plane or a worker: two components, port, instance and four steps."""


@pytest.mark.parametrize(("shape", "further_nodes"), [("dev", 2), ("prototype", 3), ("mixed", 14)])
def test_a_new_stack_only_creates(shape: str, further_nodes: int, tmp_path: Path) -> None:
    changes = scale.preview(scale.description(shape, name=shape), tmp_path)
    assert changes == {"create": BESIDE + A_NODE * further_nodes}


@pytest.mark.parametrize("workers", [250, pytest.param(1000, marks=pytest.mark.full)])
def test_a_large_cluster_is_previewed(workers: int, tmp_path: Path) -> None:
    measured = scale.measure(workers, tmp_path)
    assert measured.resources == BESIDE + A_NODE * workers


def test_a_mistake_is_refused_before_anything_is_planned(tmp_path: Path) -> None:
    config = scale.description("dev", name="dev", workers={"x86-small": 1, "no-such-type": 1})
    with pytest.raises(CommandError, match=r"workers.*no-such-type") as refused:
        scale.preview(config, tmp_path)
    assert "nothing was changed" in str(refused.value)
