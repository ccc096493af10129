"""Control planes that come and go, while the API answers and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openstack.connection import Connection

from tests.lab.conftest import Cluster
from tests.lab.test_cluster import eventually
from tests.lab.test_cluster_changes import running

pytestmark = pytest.mark.timeout(1200)

FIRST = "test-control-plane-0"
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


@pytest.fixture
def one_again(cluster: Cluster) -> Iterator[None]:
    """Whatever a test did, one control plane is asked for again."""
    yield
    with_control_planes(cluster, 1)
    cluster.up()


def comes_and_goes(cluster: Cluster, cloud: Connection, count: int) -> None:
    """From one control plane to more, and back."""
    names = {f"test-control-plane-{number}" for number in range(count)}
    added = names - {FIRST}
    before = running(cluster)

    with_control_planes(cluster, count)
    steps = cluster.preview()
    assert set(steps) == {"create"}, steps
    cluster.up()
    assert etcd_members(cluster) == names
    # A control plane is awaited until it is a node; its pods, and with them Flannel's, come a moment later.
    eventually(lambda: {name for name, ready in cluster.kubectl.ready().items() if ready == "True"} >= names)

    with_control_planes(cluster, 1)
    steps = cluster.preview()
    assert set(steps) == {"delete"}, steps
    said = cluster.up()
    for name in added:
        assert f"{name}: left etcd" in said
        assert cloud.compute.find_server(name) is None
    assert etcd_members(cluster) == {FIRST}
    assert cluster.kubectl("get", "--raw", "/readyz") == "ok"
    assert not added & cluster.nodes().keys()
    assert before.items() <= running(cluster).items(), "a pod elsewhere was restarted or is gone"
    assert cluster.preview() == {}


@pytest.mark.usefixtures("one_again")
def test_a_second_control_plane_comes_and_goes(cluster: Cluster, cloud: Connection) -> None:
    comes_and_goes(cluster, cloud, 2)


@pytest.mark.full
@pytest.mark.usefixtures("one_again")
def test_two_more_control_planes_come_and_go(cluster: Cluster, cloud: Connection) -> None:
    comes_and_goes(cluster, cloud, 3)
