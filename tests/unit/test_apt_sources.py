"""A host's package sources as ``hostscripts/apt.sh`` puts them in place, and as apt itself then reads them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.hostscript import LIMIT, step

OWN = "image"
"""Where the packages of the host's image come from."""


def source(name: str) -> str:
    return f"Types: deb\nURIs: https://{name}.example/debian\nSuites: stable\nComponents: main\n"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The folder ``etc/apt`` of a host with sources in both of apt's forms."""
    apt = tmp_path / "etc/apt"
    for folder in ("sources.list.d", "apt.conf.d", "preferences.d", "trusted.gpg.d"):
        (apt / folder).mkdir(parents=True)
    (apt / "sources.list.d/own.sources").write_text(source(OWN))
    (apt / "sources.list").write_text(f"deb https://{OWN}-list.example/debian stable main\n")
    return apt


def placed(host: Path, *names: str, instead: bool) -> bool:
    """What is described comes to the host; whether that changed something."""
    folder = host.parent.parent
    inbox = folder / f"inbox-{'-'.join(names)}-{instead}"
    (inbox / "apt/host").mkdir(parents=True, exist_ok=True)
    for name in names:
        (inbox / f"apt/host/q8s-{name}.sources").write_text(source(name))
    if instead:
        (inbox / "apt/instead").touch()
    where = f"apt_sources={host} apt_configuration={host / 'apt.conf.d'}"
    done = step(inbox, "eval", f"{where}; if apt_place_sources; then echo changed; fi")
    assert done.returncode == 0, done.stderr
    return "changed" in done.stdout


def read(host: Path) -> set[str]:
    """The servers that apt would ask."""
    (host.parent.parent / "lists").mkdir(exist_ok=True)
    configuration = host.parent.parent / "apt.conf"
    # As on a host, but for the root of the configuration.
    configuration.write_text(f'Dir::Etc "{host}";\nDir::State::lists "{host.parent.parent}/lists";\n')
    done = subprocess.run(
        ["apt-get", "--print-uris", "update"],
        env={**os.environ, "APT_CONFIG": str(configuration)},
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT,
    )
    return set(re.findall(r"'https://([^.]+)\.example/", done.stdout))


def test_sources_stand_beside_the_images_own(host: Path) -> None:
    assert placed(host, "kubernetes", instead=False)
    assert read(host) == {OWN, f"{OWN}-list", "kubernetes"}
    assert not placed(host, "kubernetes", instead=False)


def test_sources_in_place_of_the_images_own_are_the_only_ones(host: Path) -> None:
    before = {path: path.read_text() for path in host.rglob("*") if path.is_file()}
    assert placed(host, "0", "kubernetes", instead=True)
    assert read(host) == {"0", "kubernetes"}
    assert not placed(host, "0", "kubernetes", instead=True)
    assert before.items() <= {path: path.read_text() for path in host.rglob("*") if path.is_file()}.items()


def test_the_images_own_come_back_and_former_ones_go(host: Path) -> None:
    placed(host, "0", "1", "kubernetes", instead=True)
    assert placed(host, "1", "kubernetes", instead=True)
    assert read(host) == {"1", "kubernetes"}
    assert placed(host, "kubernetes", instead=False)
    assert read(host) == {OWN, f"{OWN}-list", "kubernetes"}
    assert placed(host, instead=False)
    assert read(host) == {OWN, f"{OWN}-list"}
