"""What the program renders, against golden files.

``UPDATE_GOLDEN=1 pytest tests/unit/test_render.py`` writes them anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml

from q8s_infra.render.kubeadm import init_configuration
from q8s_infra.spec import validated
from tests.unit.rendered import ADDRESS, SHAPES, documents
from tests.unit.specs import spoiled

OF_EVERY_SHAPE = ("plan.txt", "rules.json", "init.yaml", "domain.xml", "join.yaml")
GOLDEN = Path(__file__).parent / "golden" / "render"


@pytest.mark.parametrize("shape", SHAPES)
def test_every_document_is_as_expected(shape: str) -> None:
    folder, rendered = GOLDEN / shape, documents(shape)
    if shape != "dev":
        rendered = {name: text for name, text in rendered.items() if name.endswith(OF_EVERY_SHAPE)}
    if "UPDATE_GOLDEN" in os.environ:
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in rendered.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    golden = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert rendered == golden


@pytest.mark.parametrize("shape", SHAPES)
def test_rendering_twice_gives_the_same(shape: str) -> None:
    assert documents(shape) == documents(shape)


def controller_manager(size: object) -> list[dict[str, str]]:
    """The arguments of the controller manager for a size of nodes' pod subnets."""
    spec = validated(spoiled("kubernetes", {} if size is ... else {"nodeCidrMaskSize": size}))
    documents_of_init = yaml.safe_load_all(init_configuration(spec, node="demo", address=ADDRESS, names=[]))
    (cluster,) = (each for each in documents_of_init if each["kind"] == "ClusterConfiguration")
    arguments: list[dict[str, str]] = cluster["controllerManager"]["extraArgs"]
    return arguments


@pytest.mark.parametrize("size", [..., 24])
def test_a_node_s_subnet_of_kubernetes_own_size_leaves_the_configuration_as_it_was(size: object) -> None:
    assert controller_manager(size) == [{"name": "profiling", "value": "false"}]


@pytest.mark.parametrize("size", [20, 25])
def test_another_size_of_a_node_s_subnet_is_an_argument(size: int) -> None:
    assert {"name": "node-cidr-mask-size-ipv4", "value": str(size)} in controller_manager(size)
