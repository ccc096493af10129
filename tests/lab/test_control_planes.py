"""Control planes that come and go, while the API answers and nothing else is touched."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openstack.connection import Connection
from pulumi import automation

from lab.kubectl import Kubectl
from tests.lab.conftest import Cluster, q8s
from tests.lab.test_cluster import eventually
from tests.lab.test_cluster_changes import names as names_of
from tests.lab.test_cluster_changes import running

pytestmark = pytest.mark.timeout(1200)

FIRST, SECOND = "test-control-plane-0", "test-control-plane-1"
PKI = "/etc/kubernetes/pki/etcd"


def etcd_members(cluster: Cluster) -> set[str]:
    """Names of etcd's members, as the first one knows them."""
    listed = cluster.kubectl(
        "exec", "-n", "kube-system", f"etcd-{FIRST}", "--", "etcdctl", f"--cacert={PKI}/ca.crt",
        f"--cert={PKI}/healthcheck-client.crt", f"--key={PKI}/healthcheck-client.key", "member", "list",
    )  # fmt: skip
    return {line.split(", ")[2] for line in listed.splitlines()}


def with_control_planes(cluster: Cluster, count: int) -> None:
    """Ask for that many control planes."""
    cluster.describe(lambda described: described["controlPlanes"].update(count=count))


def through(cluster: Cluster, node: str, folder: Path) -> Kubectl:
    """The administrator's client, by another control plane's API server than the first one's."""
    address = next(each["address"] for each in cluster.stack.outputs()["nodes"].value if each["name"] == node)
    kubeconfig = folder / node
    kubeconfig.touch(mode=0o600)
    given = str(cluster.stack.outputs()["kubeconfig"].value)
    kubeconfig.write_text(re.sub(r"https://[^:]+:6443", f"https://{address}:6443", given))
    return Kubectl(kubeconfig)


def lose(cloud: Connection, node: str) -> str:
    """Delete a node's instance behind the program's back; its id."""
    lost = cloud.compute.find_server(node)
    cloud.compute.delete_server(lost)
    cloud.compute.wait_for_delete(lost, wait=120)
    return str(lost.id)


@pytest.fixture
def one_again(cluster: Cluster) -> Iterator[None]:
    """Whatever a test did, one control plane is asked for again."""
    yield
    with_control_planes(cluster, 1)
    cluster.up()


def comes_and_goes(
    cluster: Cluster, cloud: Connection, count: int, meanwhile: Callable[[], None] = lambda: None, apart: str = ""
) -> None:
    """From one control plane to more, and back; meanwhile, something that restarts the pods of one node apart."""
    names = {f"test-control-plane-{number}" for number in range(count)}
    added = names - {FIRST}
    before = running(cluster, apart)

    with_control_planes(cluster, count)
    steps = cluster.preview()
    # The hosts of workers learn which control planes there are.
    balancers = {"test-x86-small-0-host", "test-arm-small-0-host"}
    assert set(steps) == {"create", "update"}, steps
    assert names_of(steps["update"]) == balancers
    cluster.up()
    assert etcd_members(cluster) == names
    # A control plane is awaited until it is a node; its pods, and with them Flannel's, come a moment later.
    eventually(lambda: {name for name, ready in cluster.kubectl.ready().items() if ready == "True"} >= names)

    meanwhile()

    with_control_planes(cluster, 1)
    steps = cluster.preview()
    assert set(steps) == {"delete", "update"}, steps
    assert names_of(steps["update"]) == balancers
    said = cluster.up()
    for name in added:
        assert f"{name}: left etcd" in said
        assert cloud.compute.find_server(name) is None
    assert etcd_members(cluster) == {FIRST}
    assert cluster.kubectl("get", "--raw", "/readyz") == "ok"
    assert not added & cluster.nodes().keys()
    assert before.items() <= running(cluster, apart).items(), "a pod elsewhere was restarted or is gone"
    assert cluster.preview() == {}


@pytest.mark.usefixtures("one_again")
def test_a_second_control_plane_comes_and_goes(cluster: Cluster, cloud: Connection) -> None:
    comes_and_goes(cluster, cloud, 2)


SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: served}
spec: {selector: {app: served}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: served}
spec:
  replicas: 2
  selector: {matchLabels: {app: served}}
  template:
    metadata: {labels: {app: served}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule,
         labelSelector: {matchLabels: {app: served}}}
      containers:
      - {name: httpd, image: "docker.io/library/busybox:1.36", command: [httpd, -f, -h, /etc]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  containers:
  - name: client
    image: docker.io/library/busybox:1.36
    command:
    - sh
    - -c
    - |
      asked() { printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' | nc -w 5 $SERVED_SERVICE_HOST 80; }
      while sleep 1; do if asked | grep -q '200 OK'; then echo ok; else echo failed; fi; done
"""


@pytest.fixture
def answered(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[[], Counter[str]]]:
    """A Deployment that answers, and a client that asks once a second: says how often it was answered."""
    file = tmp_path / "service.yaml"
    file.write_text(SERVICE)

    def counted() -> Counter[str]:
        return Counter(cluster.kubectl("logs", "client").split())

    cluster.kubectl("apply", "-f", str(file))
    cluster.kubectl("rollout", "status", "deployment/served", "--timeout=300s")
    eventually(lambda: counted()["ok"] > 0)
    yield counted
    cluster.kubectl("delete", "-f", str(file), "--grace-period=1")


@pytest.mark.full
@pytest.mark.usefixtures("one_again")
def test_pods_answer_while_control_planes_come_and_go_and_the_first_is_off(
    cluster: Cluster, cloud: Connection, tmp_path: Path, answered: Callable[[], Counter[str]]
) -> None:
    before = answered()
    workers = {name for name in cluster.nodes() if "control-plane" not in name}

    def the_first_is_off_for_a_while() -> None:
        second, first = through(cluster, SECOND, tmp_path), cloud.compute.find_server(FIRST).id
        cloud.compute.stop_server(first)
        # A node that does not renew its lease is Unknown after 50 s (node-monitor-grace-period).
        eventually(lambda: second.ready()[FIRST] == "Unknown", seconds=180)
        assert {second.ready()[name] for name in workers} == {"True"}
        cloud.compute.start_server(first)
        eventually(lambda: set(cluster.kubectl.ready().values()) == {"True"}, seconds=300)

    comes_and_goes(cluster, cloud, 3, the_first_is_off_for_a_while, apart=FIRST)
    after = answered()
    print(f"answered {after['ok'] - before['ok']}, not answered {after['failed'] - before['failed']}")
    assert after["failed"] == before["failed"]
    assert after["ok"] > before["ok"] + 60


@pytest.mark.full
@pytest.mark.usefixtures("one_again")
def test_a_first_control_plane_that_is_lost_comes_back_to_its_cluster(
    cluster: Cluster, cloud: Connection, tmp_path: Path
) -> None:
    names = {f"test-control-plane-{number}" for number in range(3)}
    workers = {name for name in cluster.nodes() if "control-plane" not in name}
    with_control_planes(cluster, 3)
    cluster.up()
    before, second = running(cluster, FIRST), through(cluster, SECOND, tmp_path)

    lost = lose(cloud, FIRST)
    eventually(lambda: second.ready()[FIRST] == "Unknown", seconds=180)
    assert {second.ready()[name] for name in workers} == {"True"}

    with pytest.raises(automation.CommandError) as told:
        cluster.preview()
    assert f"{FIRST} ({lost})" in str(told.value)
    assert f"python -m q8s_infra forget {FIRST}" in str(told.value)
    assert q8s(cluster.stack.name, "forget", FIRST).returncode == 0
    said = cluster.up()
    assert f"{FIRST}: its host is new: taking the lost one, {lost}, out of the cluster" in said
    assert etcd_members(cluster) == names
    eventually(lambda: set(cluster.kubectl.ready().values()) == {"True"})
    assert before.items() <= running(cluster, FIRST).items(), "a pod elsewhere was restarted or is gone"
    assert cluster.preview() == {}
