"""Descriptions with mistakes, as files that ``check`` is given, and what it tells of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from q8s_infra.cli import cli
from tests.unit.specs import GOOD, spoiled

Row = tuple[str, Any, str, str]
"""A field of a good description, what is put there (``...``: it is removed), the path and words that are told."""
SECRET = ("proxy", "sources.registries")
"""What is never told as it was given."""
UNTOLD = ("has a user or a password in it", "is empty", "is a group that")
"""Mistakes after which what was given is not told: a secret, nothing, or a list of which one is told."""


class _Writer(yaml.SafeDumper):
    """YAML with the prototype's tags."""


class _Tagged(dict[Any, Any]):
    """What is written after a tag."""

    tag = "!VmType"


class _Definition(_Tagged):
    tag = "!ClusterDefinition"


class _Types(_Tagged):
    tag = "!VmTypes"


_Writer.add_multi_representer(_Tagged, lambda writer, body: writer.represent_mapping(body.tag, body))
_Writer.ignore_aliases = lambda *_: True  # type: ignore[method-assign]


def prototype_text(content: Mapping[str, Any], *, nested: bool = False) -> str:
    """A prototype's file; nested is the form that was published."""
    types = content.get("vm_types")
    if isinstance(types, dict):
        tagged = {name: _Tagged(body) if isinstance(body, dict) else body for name, body in types.items()}
        content = {**content, "vm_types": tagged}
    if nested:
        below = ("master_node_flavor", "number_additional_master_nodes", "worker")
        definition = _Definition({name: content[name] for name in below if name in content})
        content = {name: value for name, value in content.items() if name not in below}
        content["cluster_definition"] = definition
        if isinstance(types, dict):
            content["vm_types"] = _Types({"types": tagged})
    return f"!ClusterData\n{yaml.dump(dict(content), Dumper=_Writer, sort_keys=False)}"


def written(good: Mapping[str, Any], content: Mapping[str, Any], folder: Path, *, nested: bool = False) -> Path:
    """A spoiled description as the file that ``check`` is given: a prototype's with what it did not have laid over."""
    file = folder / "Pulumi.demo.yaml"
    if good is GOOD:
        file.write_text(yaml.dump(content, Dumper=_Writer, sort_keys=False))
        return file
    (folder / "cluster.yaml").write_text(prototype_text(content, nested=nested))
    rest = {name: GOOD[name] for name in ("guestImages", "sources")}
    file.write_text(yaml.safe_dump({"config": {"q8s:clusterFile": "cluster.yaml", "q8s:cluster": rest}}))
    return file


def checked(file: Path) -> list[str]:
    """The mistakes that ``check`` tells of a file; nothing where it finds none."""
    result = CliRunner().invoke(cli, ["check", str(file), "--offline"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    told = re.split(r"^error: ", result.stderr, flags=re.MULTILINE)[1:]
    assert (result.exit_code, bool(told)) in ((0, False), (1, True)), result.output
    return told


def identified(rows: Iterable[Row]) -> list[str]:
    return [f"{path}={value!r}"[:60] for path, value, _, _ in rows]


def refused_row(good: Mapping[str, Any], row: Row, folder: Path, *, nested: bool = False) -> None:
    path, value, named, words = row
    told = checked(written(good, spoiled(path, value, good), folder, nested=nested))
    if nested:
        named = re.sub(
            r"^(master_node_flavor|number_additional_master_nodes|worker)\b", r"cluster_definition.\1", named
        )
        named = re.sub(r"^vm_types\.", "vm_types.types.", named)
    (mistake,) = (it for it in told if it.startswith(f"{named}: "))
    assert words in mistake
    if any(each in mistake for each in UNTOLD):
        return
    if value is not None and value is not ... and named == path.replace("/", ".") and not named.startswith(SECRET):
        assert "(given: " in mistake or str(value) in mistake or isinstance(value, dict) or "no such" in words
