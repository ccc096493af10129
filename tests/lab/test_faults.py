"""What can go wrong with a worker: an error that names node and layer in bounded time; the other one gets Ready."""

from __future__ import annotations

import hashlib
import re
import subprocess
import threading
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
from tests.lab.conftest import inside, leftovers, served
from tests.lab.test_cluster import eventually
from tests.lab.test_interrupted import steps

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

STACK = "lab-faults"
FIRST, GOOD, BAD = "faults-control-plane-0", "faults-x86-small-0", "faults-arm-small-0"
# A good guest is Ready in about 2 minutes where two boot on two cores.
GUEST_TIMEOUT_MINUTES = 6
NOT_THERE = "curl: 7"
"""Nobody accepts a connection, in curl's exit code (curl(1)); its words differ from release to release."""


@dataclass
class Faulty:
    """A cluster with a good worker and one whose image is given by each test."""

    cluster: dict[str, Any]
    kubeconfig: Path

    def up(self, **image: str) -> str:
        """Bring the cluster up with another guest image for the bad worker; what the failing run says."""
        with pytest.raises(automation.CommandError) as failed:
            self.stack(**image).up(continue_on_error=True)
        return str(failed.value)

    def stack(self, **image: str) -> automation.Stack:
        """The stack, with another guest image for the bad worker."""
        images = {**self.cluster["guestImages"], "arm64": {**self.cluster["guestImages"]["arm64"], **image}}
        return open_stack(STACK, {"q8s:cluster": {**self.cluster, "guestImages": images}})

    def nodes(self) -> dict[str, str]:
        """Status of the Ready condition by node."""
        return Kubectl.of(self.stack(), self.kubeconfig).ready()


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
    assert f"{FIRST}-arm64-payload" in said
    assert f"node {FIRST}, layer payload, step build-payload: wrong checksum of http" in said
    assert faulty.nodes() == {FIRST: "True", GOOD: "True"}


def test_an_unreachable_mirror(faulty: Faulty) -> None:
    said = faulty.up(url=f"http://{layout.MIRROR_ADDRESS}:9/image.qcow2", sha256="1" * 64)
    assert f"{FIRST}-arm64-payload" in said
    assert f"node {FIRST}, layer payload, step build-payload: cannot download http" in said
    assert "is the source reachable from this host?" in said
    assert faulty.nodes()[GOOD] == "True"


def test_a_guest_that_never_boots(faulty: Faulty, blank_image: dict[str, str]) -> None:
    said = faulty.up(**blank_image)
    assert f"node {BAD}, layer guest, step await-node: did not join within" in said
    assert "its console is /var/log/q8s/console.log on its host" in said
    assert faulty.nodes() == {FIRST: "True", GOOD: "True"}


def on_its_host(cloud: Connection, command: str, host: str = BAD) -> str:
    """Run a command on the bad worker's host, or on another one."""
    # libvirtd ends where it has had nothing to do for two minutes.
    words = [*inside(cloud, host, "sshd"), "sh", "-c", command]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def test_a_full_disk(faulty: Faulty, cloud: Connection) -> None:
    on_its_host(cloud, "fallocate -l $(($(df --output=avail --block-size=1 /var | tail -n 1) - 20000000)) /var/filler")
    try:
        said = faulty.up()
    finally:
        on_its_host(cloud, "rm /var/filler")
    assert re.search(rf"node {BAD}, layer host: the disk of \S+ is full: \d+ MiB left on /var", said)
    assert faulty.nodes()[GOOD] == "True"


def test_a_host_that_reboots_while_it_is_prepared(faulty: Faulty, cloud: Connection) -> None:
    # A new one: what is there has been prepared already.
    workers = faulty.cluster["workers"]
    faulty.cluster["workers"] = {**workers, "arm-small": 0}
    faulty.stack().up()
    faulty.cluster["workers"] = workers

    def reboot() -> None:
        eventually(lambda: f"{BAD}-host" in steps(), seconds=120)
        cloud.compute.reboot_server(cloud.compute.find_server(BAD), "HARD")

    rebooting = threading.Thread(target=reboot)
    rebooting.start()
    said = faulty.up()
    rebooting.join()
    # Whom it is of says the resource: nobody was left on the host to say more.
    assert f"{BAD}-host" in said
    assert faulty.nodes()[GOOD] == "True"


def test_another_host_key(faulty: Faulty, cloud: Connection) -> None:
    key = "/etc/ssh/ssh_host_ecdsa_key"
    eventually(lambda: cloud.compute.find_server(BAD).status == "ACTIVE")
    on_its_host(cloud, f"mv {key} {key}.kept; ssh-keygen -q -t ecdsa -N '' -f {key}; systemctl restart ssh")
    try:
        said = faulty.up()
    finally:
        on_its_host(cloud, f"mv {key}.kept {key}; systemctl restart ssh")
    assert f"{BAD}-host" in said
    assert "host key mismatch" in said
    assert faulty.nodes()[GOOD] == "True"


def test_a_join_that_is_held_back_for_longer_than_its_token_lives(faulty: Faulty, cloud: Connection) -> None:
    rule = "INPUT -i q8s0 -p tcp --dport 6443 -j DROP"
    on_its_host(cloud, f"iptables --wait -I {rule}")
    try:
        said = faulty.up()
        assert f"node {BAD}, layer guest, step await-node: did not join within" in said
        assert faulty.nodes() == {FIRST: "True", GOOD: "True"}
        kubectl = Kubectl(faulty.kubeconfig)
        of_tokens = ("--namespace=kube-system", "--field-selector=type=bootstrap.kubernetes.io/token")
        assert kubectl.get("secrets", *of_tokens)["items"], "nobody has awaited the node"
        kubectl("delete", "secrets", *of_tokens)
    finally:
        on_its_host(cloud, f"iptables --wait -D {rule}")
    faulty.stack().up(continue_on_error=True)
    assert faulty.nodes() == {FIRST: "True", GOOD: "True", BAD: "True"}
    assert not kubectl.get("secrets", *of_tokens)["items"]


def api_server(cloud: Connection) -> str:
    """What the API server on the first control plane says of itself; curl's exit code where it does not."""
    said = "curl --silent --insecure --max-time 10 https://localhost:6443/readyz || echo curl: $?"
    return on_its_host(cloud, said, host=FIRST)


def test_a_worker_goes_only_once_an_api_server_has_heard_of_it(faulty: Faulty, cloud: Connection) -> None:
    manifest, kept = "/etc/kubernetes/manifests/kube-apiserver.yaml", "/root/kube-apiserver.yaml"
    on_its_host(cloud, f"mv {manifest} {kept}", host=FIRST)
    eventually(lambda: api_server(cloud).strip() == NOT_THERE, seconds=120)
    without = {"q8s:cluster": {**faulty.cluster, "workers": {**faulty.cluster["workers"], "x86-small": 0}}}
    try:
        with pytest.raises(automation.CommandError) as failed:
            open_stack(STACK, without).up(continue_on_error=True)
    finally:
        on_its_host(cloud, f"mv {kept} {manifest}", host=FIRST)
    assert f"node {GOOD}, layer Kubernetes, step remove-node: the API server does not say" in str(failed.value)
    eventually(lambda: "ok" in api_server(cloud), seconds=180)
    assert GOOD in faulty.nodes()
    # To look at nodes describes the whole cluster again.
    open_stack(STACK, without).up()
    assert faulty.nodes() == {FIRST: "True", BAD: "True"}


def test_an_exhausted_quota(faulty: Faulty, cloud: Connection) -> None:
    servers = {server.id for server in cloud.compute.servers()}
    asked = {**faulty.cluster, "workers": {**faulty.cluster["workers"], "x86-small": 200}}
    stack = open_stack(STACK, {"q8s:cluster": asked})
    with pytest.raises(automation.CommandError) as refused:
        stack.up()
    assert "quota of instances: is exceeded" in str(refused.value)
    assert "nothing was changed" in str(refused.value)
    assert {server.id for server in cloud.compute.servers()} == servers


def test_a_destroy_while_a_host_is_off(faulty: Faulty, cloud: Connection) -> None:
    server = cloud.compute.find_server(BAD)
    cloud.compute.stop_server(server)
    cloud.compute.wait_for_server(server, status="SHUTOFF", wait=120)
    faulty.stack().destroy(remove=True)
    assert not leftovers(cloud, "faults"), "destroy leaves something in the project"
