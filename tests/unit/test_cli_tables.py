"""Tables on a terminal of 80 columns."""

from __future__ import annotations

import pytest
from rich.console import Console

from q8s_infra.cli import _nodes
from tests.unit.rendered import SHAPES, planned


@pytest.mark.parametrize("shape", SHAPES)
def test_each_node_of_a_shipped_cluster_has_one_line(shape: str) -> None:
    console, cluster = Console(width=80), planned(shape)
    with console.capture() as captured:
        console.print(_nodes(cluster))
    # A title, a head and a rule.
    lines = captured.get().splitlines()[3:]
    assert [line.split()[0] for line in lines] == [node.name for node in cluster.nodes]
    assert [line.split()[-1] for line in lines] == [node.flavor for node in cluster.nodes]
