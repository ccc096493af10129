"""Files are the same on every workstation: line ends in a checkout, and how the program reads and writes text."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.artifact import REPOSITORY

COPIED = ("hostscripts", "cloudinit")
"""Folders whose files are copied to hosts, or rendered into documents for them."""
NOT_TEXT = {("os", "open"), ("tarfile", "open")}
"""Functions that open no text."""


def checkout(folder: Path, *, attributes: bool) -> dict[str, bytes]:
    """The files that Git for Windows, as it is installed, checks out."""
    for name in COPIED:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    if attributes:
        shutil.copy(REPOSITORY / ".gitattributes", folder)
    for words in (
        ["init", "--quiet"],
        ["config", "core.autocrlf", "true"],
        ["config", "core.safecrlf", "false"],
        ["add", "."],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=60)
    for name in COPIED:
        shutil.rmtree(folder / name)
    subprocess.run(["git", "checkout", "--quiet", "--", "."], cwd=folder, check=True, timeout=60)
    found = (path for name in COPIED for path in (folder / name).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_files_for_hosts_have_the_same_bytes_in_every_checkout(tmp_path: Path) -> None:
    files = checkout(tmp_path, attributes=True)
    assert files
    assert not [name for name, content in files.items() if content != (REPOSITORY / name).read_bytes()]


def test_without_attributes_they_would_not(tmp_path: Path) -> None:
    assert b"\r\n" in checkout(tmp_path, attributes=False)["hostscripts/lib.sh"]


def without_encoding(source: str) -> Iterator[int]:
    """Lines of calls that read or write text in the encoding of the machine."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        module = getattr(getattr(node.func, "value", None), "id", "")
        mode = "".join(str(given.value) for given in node.args if isinstance(given, ast.Constant))
        opens_text = name in {"open", "fdopen"} and (module, name) not in NOT_TEXT and "b" not in mode
        if (opens_text or name in {"read_text", "write_text"}) and "encoding" not in {it.arg for it in node.keywords}:
            yield node.lineno


@pytest.mark.parametrize(
    "source", ["p.read_text()", "p.write_text('b')", "open(p)", "p.open('x')", "os.fdopen(n, 'w')"]
)
def test_text_without_an_encoding_is_found(source: str) -> None:
    assert list(without_encoding(source)) == [1]


@pytest.mark.parametrize(
    "source",
    ["p.read_text(encoding='utf-8')", "p.open('xb')", "os.open(p, 1)", "os.fdopen(n, 'wb')", "tarfile.open(p, 'w')"],
)
def test_bytes_and_an_encoding_are_well(source: str) -> None:
    assert not list(without_encoding(source))


def test_text_on_a_workstation_has_an_encoding() -> None:
    files = [*(REPOSITORY / "q8s_infra").rglob("*.py"), *(REPOSITORY / ".ci").glob("*.py"), REPOSITORY / "__main__.py"]
    found = [f"{path}:{line}" for path in files for line in without_encoding(path.read_text(encoding="utf-8"))]
    assert not found
