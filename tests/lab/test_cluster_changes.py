"""A cluster that changes: workers come and go, a guest gets another memory, a host reboots, a run is killed.

Each test leaves the cluster as it found it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from openstack.connection import Connection
from pulumi import automation

from lab import layout
from lab.hosts.host import Folders, all_hosts
from q8s_infra.defaults import GUEST_SSH_PORT
from q8s_infra.remote import HOSTSCRIPTS
from tests.lab.conftest import Cluster, inside, meanwhile, run
from tests.lab.test_cluster import LOOK, eventually
from tests.unit.hostscript import program

pytestmark = pytest.mark.timeout(1200)

FIRST = "test-control-plane-0"
ADDED = "test-x86-small-1"
PARTS = {"", "-port", "-scripts", "-host", "-guest", "-node"}
"""What a worker is made of beside its components: suffixes of the names of its resources."""
states = program(HOSTSCRIPTS / "q8s_guest_state.py")
CLOCK_SECONDS = 3
"""How far a guest's clock may be off, with what asking for it takes."""
WANDERER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: wanderer}
spec:
  selector: {matchLabels: {app: wanderer}}
  template:
    metadata: {labels: {app: wanderer}}
    spec:
      terminationGracePeriodSeconds: 1
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            preference:
              matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%s]}]
      containers:
      - {name: wait, image: "docker.io/library/busybox:1.36", command: [sleep, "86400"]}
"""


@pytest.fixture
def as_before(cluster: Cluster) -> Iterator[None]:
    """Whatever a test did, the cluster is what it was."""
    yield
    cluster.configure()
    cluster.up()


def names(steps: set[str]) -> set[str]:
    """Names of resources, components and the stack left out."""
    return {step.split("::")[-1] for step in steps if not step.startswith(("q8s:", "pulumi:"))}


def running(cluster: Cluster, *apart: str) -> dict[str, int]:
    """Restarts by each pod that runs and is to go on, on a node that is there; on some of them they do not count."""
    there = cluster.nodes().keys() - set(apart)
    return {
        pod["metadata"]["uid"]: sum(it["restartCount"] for it in pod["status"].get("containerStatuses", []))
        for pod in cluster.kubectl.get("pods", "-A")["items"]
        if pod["status"]["phase"] == "Running"
        and "deletionTimestamp" not in pod["metadata"]
        and pod["spec"]["nodeName"] in there
    }


def tokens(cluster: Cluster) -> int:
    """How many bootstrap tokens the cluster accepts."""
    return len(
        cluster.kubectl.get("secrets", "-n", "kube-system", "--field-selector", "type=bootstrap.kubernetes.io/token")[
            "items"
        ]
    )


def wanderer(cluster: Cluster) -> str:
    """The node on which the wandering pod runs, or nothing."""
    pods = cluster.kubectl.get("pods", "-l", "app=wanderer")["items"]
    return "".join(
        pod["spec"]["nodeName"]
        for pod in pods
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    )


def assert_somebody_else(cluster: Cluster, folder: Path) -> None:
    """The added guest is none of whom it went on from; its clock is right."""
    former = "test-x86-small-0"
    manifest = folder / "looks.yaml"
    manifest.write_text("---".join(LOOK % {"node": node} for node in (former, ADDED)))
    cluster.kubectl("apply", "-f", str(manifest))
    cluster.kubectl("wait", "pod", "-l", "app=look", "--for=condition=Ready", "--timeout=120s")
    for what in (
        "cat /etc/hostname",
        "cat /etc/machine-id",
        "cat /etc/ssh/ssh_host_*_key.pub",
        "cat /var/lib/kubelet/pki/kubelet-client-current.pem",
        "head -c 32 /dev/urandom | od -An -x",
    ):
        told = {cluster.guest(node, what) for node in (former, ADDED)}
        assert len(told) == 2, f"the same on both: {what}"
        assert "" not in told
    for what in ("machineID", "systemUUID"):
        assert len({node["status"]["nodeInfo"][what] for node in cluster.nodes().values()}) == len(cluster.nodes())
    assert abs(float(cluster.guest(ADDED, "date +%s.%N")) - time.time()) < CLOCK_SECONDS
    cluster.kubectl("delete", "pod", f"look-{ADDED}")


@pytest.mark.usefixtures("as_before")
def test_a_worker_comes_and_goes(cluster: Cluster, cloud: Connection, tmp_path: Path) -> None:
    before, accepted = running(cluster), tokens(cluster)

    cluster.configure(workers={"x86-small": 2})
    steps = cluster.preview()
    assert set(steps) == {"create"}, steps
    assert names(steps["create"]) == {f"{ADDED}{part}" for part in PARTS}
    said = cluster.up()
    assert f"{ADDED}: going on from the state of a guest of type x86-small" in said
    assert f"{ADDED}: boots, " not in said
    assert cluster.kubectl.ready()[ADDED] == "True"
    assert_somebody_else(cluster, tmp_path)
    assert before
    assert before.items() <= running(cluster).items(), "a pod elsewhere was restarted or is gone"

    file = tmp_path / "wanderer.yaml"
    file.write_text(WANDERER % ADDED)
    cluster.kubectl("apply", "-f", str(file))
    eventually(lambda: wanderer(cluster) == ADDED)

    cluster.configure()
    steps = cluster.preview()
    assert set(steps) == {"delete"}, steps
    assert names(steps["delete"]) == {f"{ADDED}{part}" for part in PARTS}
    said = cluster.up()
    assert f"{ADDED}: draining" in said
    assert f"{ADDED}: not drained" not in said
    eventually(lambda: wanderer(cluster) not in {"", ADDED})
    cluster.kubectl("delete", "deployment", "wanderer", "--cascade=foreground")
    assert ADDED not in cluster.nodes()
    assert tokens(cluster) == accepted
    assert cloud.compute.find_server(ADDED) is None
    assert not list(cloud.network.ports(name=ADDED))


def spoiled(memory: Path, key: Path) -> None:
    """Half of the memory is not there, and the manifest is right."""
    os.truncate(memory, memory.stat().st_size // 2)
    manifest = memory.with_name(states.MANIFEST)
    said = json.loads(json.loads(manifest.read_text())["manifest"])
    digest = hashlib.sha256(memory.read_bytes()).hexdigest()
    said["files"][memory.name] = {"size": memory.stat().st_size, "sha256": digest}
    text = json.dumps(said)
    sign = ["openssl", "dgst", "-sha256", "-sign", str(key)]
    signature = subprocess.run(sign, input=text.encode(), check=True, capture_output=True, timeout=60).stdout
    manifest.write_text(json.dumps({"manifest": text, "signature": base64.b64encode(signature).decode()}))


@pytest.mark.full
@pytest.mark.usefixtures("as_before")
def test_a_guest_boots_where_a_state_does_not_resume(cluster: Cluster, cloud: Connection, tmp_path: Path) -> None:
    """The second one that finds out makes another state."""
    first = next(host for host in all_hosts(layout.INSTANCES) if host.hostname == FIRST)
    var = Folders.of(first, layout.INSTANCES).var
    (memory,) = var.glob("lib/private/q8s-states/x86-small/*/memory")
    key = run(*inside(cloud, FIRST, "kubelet"), "cat", "/etc/q8s/states.key")
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text(key)
    spoiled(memory, tmp_path / "key")
    both = (ADDED, "test-x86-small-2")
    cluster.configure(workers={"x86-small": 3})
    said = cluster.up()
    for name in both:
        assert f"{name}: going on from the state of a guest of type x86-small" in said
        assert f"{name}: boots, as it does not go on from a state: " in said
    assert sum(f"{name}: handing the guest's state over" in said for name in both) == 1
    assert {cluster.kubectl.ready()[name] for name in both} == {"True"}


@pytest.mark.usefixtures("as_before")
def test_another_key_and_another_image_restart_nothing(cluster: Cluster, cloud: Connection, tmp_path: Path) -> None:
    key = tmp_path / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key))
    address = cluster.nodes()["test-x86-small-0"]["status"]["addresses"][0]["address"]
    options = ["BatchMode=yes", "StrictHostKeyChecking=no", f"UserKnownHostsFile={key}.known", "ConnectTimeout=5"]
    login = ["ssh", "-q", "-i", str(key), *(f"-o{option}" for option in options), f"debian@{address}", "true"]

    def lets_in() -> tuple[bool, bool]:
        """Whether the host does, and its guest, with a key that the cluster was not made with."""
        ways = (login, [*login[:-2], "-p", str(GUEST_SSH_PORT), *login[-2:]])
        done = [subprocess.run(way, check=False, timeout=60, stdin=subprocess.DEVNULL).returncode for way in ways]
        return done[0] == 0, done[1] == 0

    def boots() -> dict[str, str]:
        return {name: node["status"]["nodeInfo"]["bootID"] for name, node in cluster.nodes().items()}

    def servers() -> dict[str, str]:
        mine = (server for server in cloud.compute.servers() if server.name.startswith("test-"))
        return {server.id: server.launched_at for server in mine}

    before = running(cluster), boots(), servers()
    image = cloud.create_image("debian-again", data=b"a name", disk_format="raw", container_format="bare", wait=True)
    try:
        assert lets_in() == (False, False)
        public = key.with_suffix(".pub").read_text().strip()
        cluster.describe(
            lambda it: it.update(access={**it["access"], "sshPublicKeys": [public]}, hostImage={"name": image.name})
        )
        steps = cluster.preview()
        assert set(steps) == {"update"}, steps
        cluster.up()
        assert lets_in() == (True, True)
        assert (running(cluster), boots(), servers()) == before
        cluster.configure()
        cluster.up()
        assert lets_in() == (False, False)
        assert (running(cluster), boots(), servers()) == before
    finally:
        cloud.delete_image(image.id)


@contextmanager
def ready_meanwhile(cluster: Cluster, names: set[str]) -> Iterator[set[frozenset[str]]]:
    """Look at these nodes until the end; yields which of them were Ready together."""
    seen: set[frozenset[str]] = set()

    def look() -> None:
        ready = cluster.kubectl.ready()
        seen.add(frozenset(name for name in names if ready.get(name) == "True"))

    with meanwhile(look, 1):
        yield seen


@pytest.mark.full
@pytest.mark.usefixtures("as_before")
def test_another_memory_makes_one_guest_after_the_other_anew_on_the_same_hosts(
    cluster: Cluster, cloud: Connection
) -> None:
    both = {"test-x86-small-0", ADDED}
    cluster.configure(workers={"x86-small": 2})
    cluster.up()
    hosts = {name: cloud.compute.find_server(name).id for name in both}
    other = cluster.nodes()["test-arm-small-0"]["status"]["nodeInfo"]["bootID"]

    cluster.configure(workers={"x86-small": 2}, memory={"x86-small": "3GiB"})
    steps = cluster.preview()
    changed = set().union(*(names(each) for each in steps.values()))
    assert changed == {f"{name}{part}" for name in both for part in ("-guest", "-node")}
    told = "test-x86-small-0 and 1 more of its type are made anew, 1 at a time (maxUnavailable): memory 3GiB, was 2GiB"
    with ready_meanwhile(cluster, both) as seen:
        said = cluster.up()
    assert told in said
    assert seen >= {frozenset({"test-x86-small-0"}), frozenset({ADDED})}
    assert frozenset() not in seen, "both were down at once"

    assert {cluster.kubectl.ready()[name] for name in both} == {"True"}
    for name in both:
        assert f"{name}: draining" in said
        memory = int(cluster.nodes()[name]["status"]["capacity"]["memory"].removesuffix("Ki"))
        assert 0.9 * 3 * 2**20 < memory <= 3 * 2**20
    assert {name: cloud.compute.find_server(name).id for name in both} == hosts
    assert cluster.nodes()["test-arm-small-0"]["status"]["nodeInfo"]["bootID"] == other


@pytest.mark.usefixtures("as_before")
def test_another_flavor_would_make_another_host(cluster: Cluster) -> None:
    cluster.configure(flavor={"x86-small": "c1.large"})
    steps = cluster.preview()
    assert set(steps) == {"delete-replaced", "create-replacement", "replace"}
    anew = {f"test-x86-small-0{part}" for part in ("", "-scripts", "-host", "-guest", "-node")}
    assert {name for step in steps.values() for name in names(step)} == anew


@pytest.mark.usefixtures("as_before")
def test_what_a_cluster_keeps_is_refused_another_value(cluster: Cluster) -> None:
    settings = ("get", "configmap", "-n", "kube-flannel", "kube-flannel-cfg", "-o", "jsonpath={.data}")
    before = cluster.kubectl(*settings)
    cluster.describe(lambda it: it.update(kubernetes={**it["kubernetes"], "podCidr": "10.200.0.0/16"}))
    for ask in (cluster.preview, cluster.up):
        with pytest.raises(automation.CommandError) as refused:
            ask()
        assert "kubernetes.podCidr: cannot be changed: the cluster was made with 10.244.0.0/16" in str(refused.value)
    assert cluster.kubectl(*settings) == before


@pytest.mark.usefixtures("as_before")
def test_guests_keep_an_image_that_nobody_asks_for_any_more(cluster: Cluster) -> None:
    cluster.describe(lambda it: it.pop("guestImages"))
    assert cluster.preview() == {}


@pytest.mark.full
@pytest.mark.parametrize("kind", ["SOFT", "HARD"])
def test_the_worker_of_a_rebooted_host_comes_back_by_itself(cluster: Cluster, cloud: Connection, kind: str) -> None:
    name = "test-x86-small-0"
    before = cluster.nodes()[name]["status"]["nodeInfo"]["bootID"]
    cloud.compute.reboot_server(cloud.compute.find_server(name), kind)

    def back() -> bool:
        boot = cluster.nodes()[name]["status"]["nodeInfo"]["bootID"]
        return boot != before and cluster.kubectl.ready()[name] == "True"

    eventually(back, seconds=600)
    assert set(cluster.preview()) == set()


@pytest.mark.full
@pytest.mark.usefixtures("as_before")
def test_a_killed_run_is_completed_by_the_next(cluster: Cluster) -> None:
    cluster.configure(workers={"x86-small": 2})
    run = cluster.start(stdout=subprocess.PIPE)
    assert run.stdout
    seen = [line for line in iter(run.stdout.readline, b"") if _killed_at(run, line, f"{ADDED}: guest image")]
    run.wait()
    run.stdout.close()
    assert seen, "the run ended before its worker's host got its guest image"
    assert ADDED not in cluster.nodes()

    cluster.configure(workers={"x86-small": 2})
    cluster.up()
    assert cluster.kubectl.ready()[ADDED] == "True"
    assert set(cluster.preview()) == set()


def _killed_at(run: subprocess.Popen[bytes], line: bytes, sign: str) -> bool:
    """Kill a run and all that it started as soon as it prints the sign."""
    if sign.encode() in line:
        os.killpg(run.pid, signal.SIGKILL)
        return True
    return False


def test_a_rollout_spans_both_architectures(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "both.json"
    spec = {
        "replicas": 4,
        "selector": {"matchLabels": {"app": "both"}},
        "template": {
            "metadata": {"labels": {"app": "both"}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/arch",
                        "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": {"matchLabels": {"app": "both"}},
                        "nodeTaintsPolicy": "Honor",
                    }
                ],
                "containers": [
                    {"name": "it", "image": "docker.io/library/busybox:1.36", "command": ["sleep", "86400"]}
                ],
            },
        },
    }
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "both"}, "spec": spec}
    file.write_text(json.dumps(deployment))
    cluster.kubectl("apply", "-f", str(file))
    cluster.kubectl("rollout", "status", "deployment/both", "--timeout=180s")
    first = {pod["metadata"]["name"] for pod in cluster.kubectl.get("pods", "-l", "app=both")["items"]}
    cluster.kubectl("set", "env", "deployment/both", "ROUND=2")
    cluster.kubectl("rollout", "status", "deployment/both", "--timeout=180s")

    def settled() -> set[str]:
        pods = cluster.kubectl.get("pods", "-l", "app=both")["items"]
        assert len(pods) == 4
        assert not {pod["metadata"]["name"] for pod in pods} & first
        return {pod["spec"]["nodeName"] for pod in pods}

    assert eventually(settled) == {"test-arm-small-0", "test-x86-small-0"}
    cluster.kubectl("delete", "deployment", "both", "--cascade=foreground")
