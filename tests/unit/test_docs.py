"""What the documents say is there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import lab.cli
import q8s_infra.cli
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec.reference import reference
from q8s_infra.tested import versions_page

DOCUMENTS = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]+\]\((?!https?://)([^)#\s]*)(?:#([^)]*))?\)")
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
COMMAND = re.compile(r"python -m (lab|q8s_infra) ([a-z]+)")
CLIS = {"lab": lab.cli.cli, "q8s_infra": q8s_infra.cli.cli}


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def code(document: Path) -> str:
    """What a document sets as code."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", document.read_text(), re.DOTALL))


def test_the_reference_is_the_models() -> None:
    assert (REPOSITORY / "docs/configuration.md").read_text() == reference(), "run: make docs"


def test_the_page_of_versions_is_current() -> None:
    assert (REPOSITORY / "docs/versions.md").read_text() == versions_page(), "run: make docs"


def test_every_field_is_explained() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert not [row for row in rows if row.endswith("|  |")]


def test_documents_have_links_and_commands_to_look_at() -> None:
    prose = "\n".join(document.read_text() for document in DOCUMENTS)
    commands = "\n".join(code(document) for document in DOCUMENTS)
    assert {bool(anchor) for _, anchor in LINK.findall(prose)} == {True, False}
    assert {"demo", "test", "lab"} <= set(MAKE.findall(commands))
    assert {tool for tool, _ in COMMAND.findall(commands)} == set(CLIS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for path, anchor in LINK.findall(document.read_text()):
        target = (document.parent / path) if path else document
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_are_there(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(MAKE.findall(code(document))) <= targets
    for tool, command in COMMAND.findall(code(document)):
        assert command in typer.main.get_command(CLIS[tool]).commands, f"{tool} {command}"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("options", "page"), [([], reference), (["--versions"], versions_page)])
def test_the_reference_command_prints_it(options: list[str], page: Callable[[], str]) -> None:
    words = [sys.executable, "-m", "q8s_infra", "reference", *options]
    assert subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout == page()
