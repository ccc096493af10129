"""Workers of architectures that the lab has no guests of by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from lab import layout
from lab.architectures import suite
from lab.demo import run_pod
from lab.images.guest import FURTHER_IMAGES, image_name
from lab.kubectl import Kubectl
from lab.mirrors import debian, further, registry
from q8s_infra.arch import ARCHITECTURES, Architecture
from tests.lab import conftest, mirrored
from tests.lab.conftest import served
from tests.lab.test_access import NAME, described

pytestmark = [pytest.mark.full, pytest.mark.timeout(2400)]


@pytest.fixture(params=["riscv64", "ppc64le", "s390x"])
def architecture(request: pytest.FixtureRequest) -> Architecture:
    """One of them."""
    return ARCHITECTURES[request.param]


@pytest.fixture
def parts(architecture: Architecture, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Parts of a description: where images and packages are, and a type."""
    name, debian_name = architecture.name, architecture.debian
    image = FURTHER_IMAGES[debian_name]
    for artifact in (image, further.DEBIAN, further.PACKAGES, further.IMAGES):
        assert artifact.is_built, "python -m lab further builds what these tests need"
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / debian.MAIN).symlink_to(further.DEBIAN.path / debian.MAIN)
    (folder / "packages").symlink_to(further.PACKAGES.path)
    (folder / "images").symlink_to(image.path)
    with (
        served(folder) as address,
        registry.running(further.IMAGES.path, tmp_path / "log", layout.MIRROR_ADDRESS, read_only=True) as images,
    ):
        files = f"http://{layout.MIRROR_ADDRESS}"
        parts = mirrored.described(files, f"http://{images}")
        parts["sources"]["kubernetesApt"]["uri"] = f"{address}/packages/"
        parts["sources"]["guestApt"][name] = [{"uri": f"{address}/{debian.MAIN}", "suites": [suite(debian_name)]}]
        sum_ = (image.path / "SHA256SUMS").read_text().split()[0]
        parts["guestImages"][name] = {"url": f"{address}/images/{image_name(debian_name)}", "sha256": sum_}
        board = {"architecture": name, "cpus": 2, "memory": "2GiB", "disk": "10GiB", "flavor": "c1.medium"}
        yield {**parts, "nodeTypes": {"board": board}}


def test_workers_join_and_run_pods(
    cloud: Connection, architecture: Architecture, parts: dict[str, Any], tmp_path: Path
) -> None:
    said: list[str] = []
    config = described(**parts, workers={"board": 2})
    with conftest.brought_up(cloud, NAME, config, on_output=said.append) as stack:
        kubectl = Kubectl.of(stack, tmp_path / "kubeconfig")
        workers = {f"{NAME}-board-0", f"{NAME}-board-1"}
        assert kubectl.ready() == dict.fromkeys({f"{NAME}-control-plane-0", *workers}, "True")
        infos = [kubectl.get("node", worker)["status"]["nodeInfo"] for worker in sorted(workers)]
        assert {each["architecture"] for each in infos} == {architecture.oci}
        assert len({each["machineID"] for each in infos}) == len(workers)
        assert run_pod(kubectl, architecture.oci).endswith(architecture.name)
        print(*(line for line in said if "state" in line), sep="\n")
