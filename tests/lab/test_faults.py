"""What can go wrong with a worker: an error that names node and layer in bounded time; the other one gets Ready."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection
from pulumi import automation

from lab import demo, layout
from lab.kubectl import Kubectl
from lab.stack import open_stack
from tests.lab.conftest import served

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

STACK = "lab-faults"
GOOD, BAD = "faults-x86-small-0", "faults-arm-small-0"
# A good guest is Ready in about 2 minutes where two boot on two cores.
GUEST_TIMEOUT_MINUTES = 6


@dataclass
class Faulty:
    """A cluster with a good worker and one whose image is given by each test."""

    cluster: dict[str, Any]
    kubeconfig: Path

    def up(self, **image: str) -> str:
        """Bring the cluster up with another guest image for the bad worker; what the failing run says."""
        images = {**self.cluster["guestImages"], "arm64": {**self.cluster["guestImages"]["arm64"], **image}}
        stack = open_stack(STACK, {"q8s:cluster": {**self.cluster, "guestImages": images}})
        with pytest.raises(automation.CommandError) as failed:
            stack.up(continue_on_error=True)
        return str(failed.value)

    def nodes(self) -> dict[str, str]:
        """Status of the Ready condition by node."""
        return Kubectl.of(open_stack(STACK, {"q8s:cluster": self.cluster}), self.kubeconfig).ready()


@pytest.fixture(scope="module")
def faulty(cloud: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """The stack of these tests; taken away at their end."""
    del cloud
    cluster = demo.description("dev", name="faults")["q8s:cluster"]
    cluster["guestTimeoutMinutes"] = GUEST_TIMEOUT_MINUTES
    yield Faulty(cluster, tmp_path_factory.mktemp("faults") / "kubeconfig")
    open_stack(STACK, {"q8s:cluster": cluster}).destroy(remove=True)


@pytest.fixture
def blank_image(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An image that is one, with the right checksum, but holds no system; served in the lab."""
    image = tmp_path / "blank.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "64M"], check=True)
    with served(tmp_path) as address:
        yield {"url": f"{address}/{image.name}", "sha256": hashlib.sha256(image.read_bytes()).hexdigest()}


def test_a_wrong_checksum(faulty: Faulty) -> None:
    said = faulty.up(sha256="2" * 64)
    assert f"node {BAD}, layer host, step prepare-worker: wrong checksum of http" in said
    assert faulty.nodes() == {"faults-control-plane-0": "True", GOOD: "True"}


def test_an_unreachable_mirror(faulty: Faulty) -> None:
    said = faulty.up(url=f"http://{layout.MIRROR_ADDRESS}:9/image.qcow2", sha256="1" * 64)
    assert f"node {BAD}, layer host, step prepare-worker: cannot download http" in said
    assert "is the source reachable from this host?" in said
    assert faulty.nodes()[GOOD] == "True"


def test_a_guest_that_never_boots(faulty: Faulty, blank_image: dict[str, str]) -> None:
    said = faulty.up(**blank_image)
    assert f"node {BAD}, layer guest, step await-node: did not join within" in said
    assert "its console is /var/log/q8s/console.log on its host" in said
    assert faulty.nodes() == {"faults-control-plane-0": "True", GOOD: "True"}


def test_an_exhausted_quota(faulty: Faulty, cloud: Connection) -> None:
    servers = {server.id for server in cloud.compute.servers()}
    asked = {**faulty.cluster, "workers": {**faulty.cluster["workers"], "x86-small": 200}}
    stack = open_stack(STACK, {"q8s:cluster": asked})
    with pytest.raises(automation.CommandError) as refused:
        stack.up()
    assert "quota of instances: is exceeded" in str(refused.value)
    assert "nothing was changed" in str(refused.value)
    assert {server.id for server in cloud.compute.servers()} == servers
