"""The whole program under the real engine with the real plugins, on a new stack, without a cloud."""

from __future__ import annotations

from pathlib import Path

import pytest
from pulumi.automation import CommandError

from lab import scale

BESIDE = 38
"""Resources of every cluster: network, what is deleted last, keys, rules, the first control plane and Flannel."""
AN_ARCHITECTURE = 3
"""A component, its guests' payload and what that is known by."""
A_CONTROL_PLANE = 9
"""A further one: two components, port, instance, scripts and four steps."""
COMES_BACK = 3
"""Where there is a further one: how the first comes back to the cluster should its host be lost."""
A_WORKER = 8
"""Two components, port, instance, scripts and three steps."""


@pytest.mark.parametrize(("shape", "control_planes", "workers"), [("dev", 1, 2), ("prototype", 2, 2), ("mixed", 3, 12)])
def test_a_new_stack_only_creates(shape: str, control_planes: int, workers: int, tmp_path: Path) -> None:
    changes = scale.preview(scale.description(shape, name=shape), tmp_path)
    further = A_CONTROL_PLANE * (control_planes - 1) + (COMES_BACK if control_planes > 1 else 0)
    assert changes == {"create": BESIDE + 2 * AN_ARCHITECTURE + further + A_WORKER * workers}


@pytest.mark.parametrize("workers", [250, pytest.param(1000, marks=pytest.mark.full)])
def test_a_large_cluster_is_previewed(workers: int, tmp_path: Path) -> None:
    measured = scale.measure(workers, tmp_path)
    assert measured.resources == BESIDE + 2 * AN_ARCHITECTURE + A_WORKER * workers


def test_a_mistake_is_refused_before_anything_is_planned(tmp_path: Path) -> None:
    config = scale.description("dev", name="dev", workers={"x86-small": 1, "no-such-type": 1})
    with pytest.raises(CommandError, match=r"workers.*no-such-type") as refused:
        scale.preview(config, tmp_path)
    assert "nothing was changed" in str(refused.value)
