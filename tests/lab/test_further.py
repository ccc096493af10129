"""Workers of an architecture that the lab has no guests of by itself, and that Kubernetes is not published for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from lab import layout
from lab.demo import run_pod
from lab.images.guest import FURTHER_IMAGES, image_name
from lab.kubectl import Kubectl
from lab.mirrors import debian, further, registry
from lab.versions import GUEST_SUITE
from tests.lab import conftest, mirrored
from tests.lab.conftest import served
from tests.lab.test_access import NAME, described

pytestmark = [pytest.mark.full, pytest.mark.timeout(2400)]

TYPE = {"architecture": "riscv64", "cpus": 2, "memory": "2GiB", "disk": "10GiB", "flavor": "c1.medium"}


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Parts of a description: where images and packages are, and a type."""
    image = FURTHER_IMAGES["riscv64"]
    for artifact in (image, further.PACKAGES, further.IMAGES):
        assert artifact.is_built, "python -m lab further builds what these tests need"
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "packages").symlink_to(further.PACKAGES.path)
    (folder / "images").symlink_to(image.path)
    with (
        served(folder) as address,
        registry.running(further.IMAGES.path, tmp_path / "log", layout.MIRROR_ADDRESS, read_only=True) as images,
    ):
        files = f"http://{layout.MIRROR_ADDRESS}"
        parts = mirrored.described(files, f"http://{images}")
        parts["sources"]["kubernetesApt"]["uri"] = f"{address}/packages/"
        parts["sources"]["guestApt"]["riscv64"] = [{"uri": f"{files}/{debian.MAIN}", "suites": [GUEST_SUITE]}]
        sum_ = (image.path / "SHA256SUMS").read_text().split()[0]
        parts["guestImages"]["riscv64"] = {"url": f"{address}/images/{image_name('riscv64')}", "sha256": sum_}
        yield {**parts, "nodeTypes": {"board": TYPE}}


def test_workers_of_riscv64_join_and_run_pods(cloud: Connection, parts: dict[str, Any], tmp_path: Path) -> None:
    said: list[str] = []
    config = described(**parts, workers={"board": 2})
    with conftest.brought_up(cloud, NAME, config, on_output=said.append) as stack:
        kubectl = Kubectl.of(stack, tmp_path / "kubeconfig")
        workers = {f"{NAME}-board-0", f"{NAME}-board-1"}
        assert kubectl.ready() == dict.fromkeys({f"{NAME}-control-plane-0", *workers}, "True")
        infos = [kubectl.get("node", worker)["status"]["nodeInfo"] for worker in sorted(workers)]
        assert {each["architecture"] for each in infos} == {"riscv64"}
        assert len({each["machineID"] for each in infos}) == len(workers)
        assert run_pod(kubectl, "riscv64").endswith("riscv64")
        print(*(line for line in said if "state" in line), sep="\n")
