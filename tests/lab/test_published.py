"""A worker whose guest boots an image as a distribution publishes it: nothing in it is trimmed or turned off."""

from __future__ import annotations

from pathlib import Path

import pytest
from openstack.connection import Connection

from lab.demo import run_pod
from lab.images.published import PUBLISHED_IMAGES, published_name
from tests.lab.conftest import served
from tests.lab.test_access import NAME, brought_up

pytestmark = [pytest.mark.full, pytest.mark.timeout(2400)]


@pytest.mark.parametrize(
    ("debian", "architecture", "type_", "machine"),
    [("amd64", "x86_64", "x86-small", "x86_64"), ("arm64", "arm64", "arm-small", "aarch64")],
)
def test_it_joins_and_runs_pods(
    cloud: Connection, tmp_path: Path, debian: str, architecture: str, type_: str, machine: str
) -> None:
    image = PUBLISHED_IMAGES[debian]
    assert image.is_built, "python -m lab published builds what these tests need"
    with served(image.path) as address:
        sum_ = (image.path / "SHA256SUMS").read_text().split()[0]
        images = {architecture: {"url": f"{address}/{published_name(debian)}", "sha256": sum_}}
        with brought_up(cloud, tmp_path, workers={type_: 1}, guestImages=images) as kubectl:
            worker = f"{NAME}-{type_}-0"
            assert kubectl.ready() == {f"{NAME}-control-plane-0": "True", worker: "True"}
            assert kubectl.get("node", worker)["status"]["nodeInfo"]["osImage"].startswith("Debian")
            assert run_pod(kubectl, debian).endswith(machine)
