"""A stack's first file, from what a real project has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from lab import layout
from lab.artifact import REPOSITORY
from lab.stack import environment


def init(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command in a folder, without a terminal."""
    variables = {**os.environ, **environment(), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "q8s_infra", "init", "--stack", "first", *words],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_what_fits_alone_is_taken_and_the_rest_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.first.yaml"
    refused = init(tmp_path)
    assert refused.returncode == 1
    for option in ("--control-plane-flavor", "--worker-flavor", "--allowed-cidr"):
        assert f"error: {option}: is missing" in refused.stderr
    assert "c1.medium (2 CPUs, 4096 MiB, 40 GiB)" in refused.stderr
    assert not path.exists()

    given = ("--control-plane-flavor", "c1.medium", "--worker-flavor", "c1.medium", "--allowed-cidr", "10.0.0.0/8")
    written = init(tmp_path, *given)
    assert written.returncode == 0, written.stderr
    assert "first-x86-small-0" in written.stdout
    assert "security-group rules" in written.stdout
    cluster = yaml.safe_load(path.read_text())["config"]["q8s:cluster"]
    assert cluster["network"] == {"name": layout.PRIVATE_NETWORK}
    assert cluster["hostImage"] == {"name": layout.HOST_IMAGE}
    assert cluster["access"]["user"] == "debian"

    assert "is there already" in init(tmp_path, *given).stderr
