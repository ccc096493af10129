"""Nothing that lives is lost: a state older than the cloud, an edit that the cloud refuses, what stops a destroy.

And what pods and operators must not reach, or not unseen: the metadata service, and exec in the audit log.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from openstack.connection import Connection
from pulumi import automation

from lab import demo, layout
from lab.hosts.host import Folders, all_hosts
from lab.stack import open_stack
from tests.lab.conftest import Cluster, leftovers
from tests.lab.servers import DISKLESS

pytestmark = pytest.mark.timeout(1200)

WORKER, ADDED = "test-x86-small-0", "test-x86-small-1"
WORKERS = (WORKER, "test-arm-small-0")
METADATA = "wget -q -T 5 -O - http://169.254.169.254/latest/user-data 2>&1 || true"


@pytest.fixture
def as_before(cluster: Cluster) -> Iterator[None]:
    """The fixture's own cluster again, at the end of a test."""
    yield
    cluster.configure()
    cluster.up()


@pytest.mark.usefixtures("as_before")
def test_a_state_older_than_the_cloud_deletes_no_worker(cluster: Cluster, cloud: Connection) -> None:
    older = cluster.stack.export_stack()
    cluster.configure(workers={"x86-small": 2})
    cluster.up()
    newer, lives = cluster.stack.export_stack(), cloud.compute.find_server(ADDED).id
    cluster.stack.import_stack(older)
    try:
        for ask in (cluster.preview, cluster.up):
            with pytest.raises(automation.CommandError) as refused:
                ask()
            assert f"instance {ADDED} ({lives})" in str(refused.value)
            assert f"openstack server delete {lives}" in str(refused.value)
        assert cloud.compute.find_server(ADDED).id == lives
        assert cluster.kubectl.ready()[ADDED] == "True"
    finally:
        cluster.stack.import_stack(newer)
    assert cluster.preview() == {}


@pytest.mark.usefixtures("as_before")
def test_a_flavor_that_the_cloud_refuses_leaves_the_worker_running(cluster: Cluster, cloud: Connection) -> None:
    lives = cloud.compute.find_server(WORKER).id
    cluster.configure(flavor={"x86-small": DISKLESS})
    for ask in (cluster.preview, cluster.up):
        with pytest.raises(automation.CommandError) as refused:
            ask()
        assert f"nodeTypes.x86-small.bootVolume: is missing, flavor {DISKLESS}" in str(refused.value)
    assert cloud.compute.find_server(WORKER).id == lives
    assert cluster.kubectl.ready()[WORKER] == "True"


@pytest.mark.parametrize("node", WORKERS)
def test_pods_are_refused_the_metadata_service(cluster: Cluster, node: str) -> None:
    found = cluster.kubectl("exec", f"look-{node}", "--", "busybox", "sh", "-c", METADATA)
    assert "Connection refused" in found


def test_exec_is_in_the_audit_log(cluster: Cluster) -> None:
    cluster.kubectl("exec", f"look-{WORKER}", "--", "busybox", "true")
    time.sleep(1)
    logs = [Folders.of(host, layout.INSTANCES).var / "log/kubernetes/audit" for host in all_hosts(layout.INSTANCES)]
    written = "".join(path.read_text() for folder in logs if folder.is_dir() for path in folder.glob("*.log"))
    assert f"/api/v1/namespaces/default/pods/look-{WORKER}/exec" in written


@pytest.mark.full
def test_a_destroy_says_within_a_minute_what_stands_in_its_way(cloud: Connection) -> None:
    config = demo.description("dev", name="evidence")
    config["q8s:cluster"]["workers"] = {}
    stack = open_stack("lab-evidence", config)
    stack.up()
    (group,) = cloud.network.security_groups(name="evidence")
    network = next(cloud.network.ports(security_group_ids=[group.id])).network_id
    port = cloud.network.create_port(name="operator", network_id=network, security_groups=[group.id])
    try:
        started = time.monotonic()
        with pytest.raises(automation.CommandError) as stopped:
            stack.destroy()
        assert time.monotonic() - started < 60
        assert f"port operator ({port.id})" in str(stopped.value)
        assert f"openstack port delete {port.id}" in str(stopped.value)
    finally:
        cloud.network.delete_port(port.id)
        stack.destroy(remove=True)
    assert not leftovers(cloud, "evidence")
