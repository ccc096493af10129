"""What is installed where, and what is left to the official plugins."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pulumi_command
import pulumi_kubernetes
import pulumi_openstack
import pytest

from lab import versions
from lab.artifact import Artifact
from lab.pulumi import install as module
from lab.pulumi.wire import UNKNOWN, Secret, changes, from_struct, has_secrets, is_known, plain, to_struct

_ALL = {
    "pulumi",
    "pulumi-language-python",
    "pulumi-resource-command",
    "pulumi-resource-kubernetes",
    "pulumi-resource-openstack",
}


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing of Pulumi, and builds that take no time."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("Q8S_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Artifact, "ensure", lambda _: None)
    (tmp_path / "path").mkdir()
    return tmp_path


def _executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def _built(artifact: Artifact) -> None:
    """Stands for a build: the executable alone."""
    _executable(artifact.path / artifact.name)


def test_everything_where_nothing_is(machine: Path) -> None:
    module.install(machine / "bin")
    assert {each.name for each in (machine / "bin").iterdir()} == _ALL
    module.install(machine / "bin")
    assert {each.name for each in (machine / "bin").iterdir()} == _ALL


@pytest.mark.parametrize("name", sorted(_ALL))
def test_official_on_path_wins_and_displaces(machine: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    module.install(machine / "bin")
    assert capsys.readouterr().out == ""
    found = _executable(machine / "path" / name)
    module.install(machine / "bin")
    assert {each.name for each in (machine / "bin").iterdir()} == _ALL - {name}
    (line,) = capsys.readouterr().out.splitlines()
    assert name in line
    assert str(found) in line


def test_official_that_is_a_link_into_a_folder_of_its_name(machine: Path) -> None:
    official = _executable(machine / "opt" / "pulumi" / "bin" / "pulumi")
    (machine / "path" / "pulumi").symlink_to(official)
    module.install(machine / "bin")
    assert not (machine / "bin" / "pulumi").exists()


def test_official_in_the_engines_home_wins_in_the_right_version(machine: Path) -> None:
    name = "pulumi-resource-kubernetes"
    plugins = machine / "home" / "plugins"
    _executable(plugins / "resource-kubernetes-v0.0.1" / name)
    module.install(machine / "bin")
    assert (machine / "bin" / name).exists()
    _executable(plugins / f"resource-kubernetes-v{versions.PULUMI_KUBERNETES}" / name)
    module.install(machine / "bin")
    assert not (machine / "bin" / name).exists()


@pytest.mark.parametrize("name", sorted(_ALL))
def test_earlier_stand_ins_are_not_official(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Neither in another folder, nor linked to from one."""
    monkeypatch.setattr(Artifact, "ensure", _built)
    module.install(machine / "other")
    (machine / "path" / name).symlink_to(machine / "other" / name)
    monkeypatch.setenv("PATH", f"{machine / 'path'}:{machine / 'other'}")
    module.install(machine / "bin")
    assert {each.name for each in (machine / "bin").iterdir()} == _ALL
    assert capsys.readouterr().out == ""


def test_versions_are_those_of_the_sdks() -> None:
    sdks: list[tuple[Any, str]] = [
        (pulumi_command, versions.PULUMI_COMMAND),
        (pulumi_kubernetes, versions.PULUMI_KUBERNETES),
        (pulumi_openstack, versions.PULUMI_OPENSTACK),
    ]
    for sdk, version in sdks:
        described = json.loads((Path(sdk.__file__).parent / "pulumi-plugin.json").read_text())
        assert described["version"] == version
    assert metadata.version("pulumi") == versions.PULUMI


def test_values_survive_the_wire() -> None:
    values = {"a": [1, 2.5, "x", None, True], "b": Secret({"c": "d"}), "e": UNKNOWN, "f": {"g": Secret(UNKNOWN)}}
    assert from_struct(to_struct(values)) == values
    assert plain(values["b"]) == {"c": "d"}
    assert has_secrets(values)
    assert not is_known(values)


def test_changes_name_their_paths() -> None:
    old = {"a": {"b": 1, "k.l": 2}, "t": [1, 2], "s": "x", "gone": 1}
    new = {"a": {"b": 2, "k.l": 3}, "t": [1, 2, 3], "s": Secret("x"), "new": 1}
    assert changes(old, new) == {
        "a.b": "update",
        'a["k.l"]': "update",
        "t[2]": "add",
        "s": "update",
        "gone": "delete",
        "new": "add",
    }
