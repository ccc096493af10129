"""The cloud that the program asks is the one that Pulumi's provider finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from q8s_infra.render.templates import REPOSITORY

CLOUDS = "clouds: {here: {auth: {auth_url: 'http://127.0.0.1:9/v3'}}}\n"
# openstacksdk looks for homes when it is imported.
ASK = (
    "from q8s_infra.cloud import connect; from q8s_infra.connection import hidden_file; "
    "print(hidden_file()); connect({'cloud': 'here'})"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A clouds.yaml below a home that only ``$HOME`` names."""
    folder = tmp_path / "home/.config/openstack"
    folder.mkdir(parents=True)
    (folder / "clouds.yaml").write_text(CLOUDS)
    (tmp_path / "work").mkdir()
    return folder / "clouds.yaml"


def asked(tmp_path: Path, **variables: str) -> tuple[str, str]:
    """What is hidden, and the error of who asks nevertheless."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "XDG_"))}
    env = {**known, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(REPOSITORY), **variables}
    words = [sys.executable, "-c", ASK]
    done = subprocess.run(words, cwd=tmp_path / "work", env=env, capture_output=True, text=True, check=False)
    return done.stdout.strip(), done.stderr


def test_a_file_that_the_provider_would_not_find_is_refused(tmp_path: Path, file: Path) -> None:
    found, error = asked(tmp_path)
    assert found == str(file)
    assert f"export OS_CLIENT_CONFIG_FILE={file}" in error


def test_a_file_that_both_find_is_asked(tmp_path: Path, file: Path) -> None:
    assert asked(tmp_path, OS_CLIENT_CONFIG_FILE=str(file))[0] == "None"
    (tmp_path / "work/clouds.yaml").write_text(CLOUDS)
    found, error = asked(tmp_path)
    assert found == "None"
    assert "OS_CLIENT_CONFIG_FILE" not in error
