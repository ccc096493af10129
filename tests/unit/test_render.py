"""What the program renders, against golden files.

``UPDATE_GOLDEN=1 pytest tests/unit/test_render.py`` writes them anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.unit.rendered import SHAPES, documents

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
