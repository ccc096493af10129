"""Hosts of further releases: their image's package sources, their copy of the archive, which image a server boots."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import lab.hosts
from lab import apt, distributions, layout
from lab.artifact import Artifact, Builder
from lab.hosts import image
from lab.mirrors import debian
from lab.mirrors.authority import AUTHORITIES, AUTHORITY
from lab.versions import FURTHER_HOSTS, HOST_SUITE

MIRROR, SECURITY = "http://archive.test/debian", "http://archive.test/debian-security"


@pytest.fixture(autouse=True)
def archives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the machine's own apt would know."""
    monkeypatch.setenv("Q8S_APT_MIRROR", MIRROR)
    monkeypatch.setenv("Q8S_APT_SECURITY_MIRROR", SECURITY)


def built(artifact: Artifact, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Build an image with stand-ins for all that is run; the commands."""
    monkeypatch.setenv("Q8S_CACHE", str(folder / "cache"))
    AUTHORITIES.path.mkdir(parents=True)
    (AUTHORITIES.path / AUTHORITY).touch()
    commands: list[list[str]] = []
    root = folder / "root"

    def run(_self: Builder, *words: object, **_settings: object) -> None:
        commands.append([str(word) for word in words])
        for name in ("etc/apt/sources.list.d", "etc/apt/preferences.d", "etc/default"):
            (root / name).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(Builder, "run", run)
    artifact.build(Builder(out=root, log=folder / "log"))
    return commands


@pytest.mark.parametrize("name", sorted(FURTHER_HOSTS))
def test_further_hosts_are_of_their_release_alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = FURTHER_HOSTS[name]
    command = built(distributions.IMAGES[name], tmp_path, monkeypatch)[0]
    root = str(tmp_path / "root")
    assert command[command.index(root) - 1] == suite
    assert {line.split()[-2] for line in command[command.index(root) + 1 :]} == {
        suite, f"{suite}-updates", f"{suite}-security",
    }  # fmt: skip
    sources = (tmp_path / "root/etc/apt/sources.list.d/debian.sources").read_text()
    suites = {word for line in sources.splitlines() if line.startswith("Suites:") for word in line.split()[1:]}
    assert suites == {suite, f"{suite}-updates", f"{suite}-security"}
    assert not list((tmp_path / "root/etc/apt/preferences.d").iterdir())


def test_the_labs_own_hosts_keep_their_backports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(image.HOST_IMAGE, tmp_path, monkeypatch)
    sources = (tmp_path / "root/etc/apt/sources.list.d/debian.sources").read_text()
    assert f"{HOST_SUITE}-backports" in sources
    assert list((tmp_path / "root/etc/apt/preferences.d").iterdir())


@pytest.mark.parametrize("name", sorted(FURTHER_HOSTS))
def test_a_copy_of_the_archive_is_of_the_hosts_release(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[str]] = []
    releases: list[str] = []
    monkeypatch.setattr(apt.PrivateApt, "update", lambda _self, sources, _preferences: asked.append(sources))
    monkeypatch.setattr(debian, "_packages", lambda _apt, _archives, packages: asked.append(packages))
    monkeypatch.setattr(debian, "_indices", lambda _apt, _archives, release, _those: releases.append(release))
    distributions.ARCHIVES[name].build(Builder(out=tmp_path, log=tmp_path / "log"))
    suite = FURTHER_HOSTS[name]
    sources, packages = asked
    assert set(releases) == {line.split()[-2] for line in sources} == {suite, f"{suite}-updates", f"{suite}-security"}
    # Of another name in one of the releases.
    assert not {"qemu-system-riscv", "qemu-system-s390x"} & set(packages)


def test_each_has_a_folder_of_its_own_after_what_it_needs() -> None:
    every = (*distributions.ARTIFACTS, image.HOST_IMAGE, debian.DEBIAN)
    assert len({artifact.name for artifact in every}) == len(every)
    for artifact in distributions.ARTIFACTS:
        before = distributions.ARTIFACTS[: distributions.ARTIFACTS.index(artifact)]
        assert set(map(id, artifact.needs)) <= set(map(id, before))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The compute driver, with stand-ins for what only OpenStack's environment has."""
    names = ("eventlet", "nova", "nova.conf", "nova.compute", "nova.image", "nova.virt", "oslo_log")
    modules = {name: ModuleType(name) for name in names}
    fake = SimpleNamespace(FakeDriver=SimpleNamespace(capabilities={}), FakeDriverWithoutFakeNodes=object)
    for module, attributes in {
        "eventlet": {"timeout": None},
        "nova": {"exception": None, "conf": modules["nova.conf"]},
        "nova.conf": {"CONF": None},
        "nova.compute": {"power_state": None, "task_states": None},
        "nova.image": {"glance": None},
        "nova.virt": {"driver": None, "fake": fake, "hardware": None},
        "oslo_log": {"log": SimpleNamespace(getLogger=lambda _name: None)},
    }.items():
        vars(modules[module]).update(attributes)
        monkeypatch.setitem(sys.modules, module, modules[module])
    source = Path(lab.hosts.__file__).parent / "driver/nspawn.py"
    module = ModuleType("nspawn")
    exec(compile(source.read_text(), str(source), "exec"), vars(module))
    return module


def test_a_server_boots_the_root_that_its_image_names(driver: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q8S_HOST_IMAGE", "/own")
    nspawn = driver.NspawnDriver()
    # What Nova keeps of an image's properties with each server.
    further = SimpleNamespace(system_metadata={f"image_{layout.HOST_ROOT}": "/further"})
    assert nspawn._root_of(further) == Path("/further")
    assert nspawn._root_of(SimpleNamespace(system_metadata={"image_os_type": "linux"})) == Path("/own")
