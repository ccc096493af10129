"""A stack's first file, from what a real project has."""

from __future__ import annotations

from pathlib import Path

import yaml

from lab import layout
from tests.lab.conftest import q8s


def test_what_fits_alone_is_taken_and_the_rest_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.first.yaml"
    refused = q8s("first", "init", folder=tmp_path)
    assert refused.returncode == 1
    for option in ("--control-plane-flavor", "--worker-flavor", "--allowed-cidr"):
        assert f"error: {option}: is missing" in refused.stdout
    assert "c1.medium (2 CPUs, 4096 MiB, 40 GiB)" in refused.stdout
    assert not path.exists()

    given = ("--control-plane-flavor", "c1.medium", "--worker-flavor", "c1.medium", "--allowed-cidr", "10.0.0.0/8")
    written = q8s("first", "init", *given, folder=tmp_path)
    assert written.returncode == 0, written.stdout
    assert "first-x86-small-0" in written.stdout
    assert "security-group rules" in written.stdout
    cluster = yaml.safe_load(path.read_text())["config"]["q8s:cluster"]
    assert cluster["network"] == {"name": layout.PRIVATE_NETWORK}
    assert cluster["hostImage"] == {"name": layout.HOST_IMAGE}
    assert cluster["access"]["user"] == "debian"

    assert "is there already" in q8s("first", "init", *given, folder=tmp_path).stdout
