"""A worker of arm64 whose guest boots an image as a distribution publishes it, as x86_64 ones of all tests do."""

from __future__ import annotations

from pathlib import Path

import pytest
from openstack.connection import Connection

from lab.demo import run_pod
from lab.images.published import PUBLISHED_IMAGES, published_name
from tests.lab.conftest import served
from tests.lab.test_access import NAME, brought_up

pytestmark = [pytest.mark.full, pytest.mark.timeout(2400)]

TYPE = "arm-small"


def test_it_joins_and_runs_pods(cloud: Connection, tmp_path: Path) -> None:
    image = PUBLISHED_IMAGES["arm64"]
    assert image.is_built, "python -m lab published builds what this test needs"
    with served(image.path) as address:
        sum_ = (image.path / "SHA256SUMS").read_text().split()[0]
        images = {"arm64": {"url": f"{address}/{published_name('arm64')}", "sha256": sum_}}
        with brought_up(cloud, tmp_path, workers={TYPE: 1}, guestImages=images) as kubectl:
            worker = f"{NAME}-{TYPE}-0"
            assert kubectl.ready() == {f"{NAME}-control-plane-0": "True", worker: "True"}
            assert kubectl.get("node", worker)["status"]["nodeInfo"]["osImage"].startswith("Debian")
            assert run_pod(kubectl, "arm64").endswith("aarch64")
