"""A cluster whose only control plane is lost, made again from its snapshot: workers and their pods go on."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from openstack.connection import Connection
from pulumi import automation

from lab.artifact import REPOSITORY
from lab.stack import environment
from q8s_infra import snapshot
from q8s_infra.ssh import stack_keys
from tests.lab.conftest import Cluster, q8s
from tests.lab.test_cluster import eventually
from tests.lab.test_cluster_changes import running
from tests.lab.test_control_planes import FIRST, etcd_members, lose, with_control_planes

pytestmark = pytest.mark.timeout(900)


def configmaps(cluster: Cluster) -> set[str]:
    """Names of those in the default namespace."""
    return {each["metadata"]["name"] for each in cluster.kubectl.get("configmaps")["items"]}


def workers_pods(cluster: Cluster) -> dict[str, int]:
    """Restarts by each pod that runs on a worker."""
    return running(cluster, *(name for name in cluster.nodes() if "control-plane" in name))


def restored(cluster: Cluster, file: Path) -> None:
    """Make the cluster again from a snapshot; what a run without control planes says is the way to it."""
    with pytest.raises(automation.CommandError, match="python -m q8s_infra restore FILE"):
        cluster.preview()
    done = q8s(cluster.stack.name, "restore", str(file))
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    # The administrator's kubeconfig of before is good: it is the same cluster at the same address.
    eventually(lambda: set(cluster.kubectl.ready().values()) == {"True"})


def test_a_cluster_without_a_control_plane_comes_back_from_its_snapshot(
    cluster: Cluster, cloud: Connection, tmp_path: Path
) -> None:
    eventually(lambda: set(cluster.kubectl.ready().values()) == {"True"})
    file, before = tmp_path / "cluster.snapshot", running(cluster, FIRST)
    cluster.kubectl("delete", "configmap", "before", "--ignore-not-found")
    cluster.kubectl("create", "configmap", "before")
    taken = q8s(cluster.stack.name, "snapshot", f"--output={file}")
    assert taken.returncode == 0, taken.stdout
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    cluster.kubectl("create", "configmap", "after")

    refused = q8s(cluster.stack.name, "restore", str(file))
    assert refused.returncode == 1, refused.stdout
    assert f"{FIRST} is in a cluster" in refused.stdout.replace("\n", " ")

    lose(cloud, FIRST)
    restored(cluster, file)
    assert "before" in configmaps(cluster)
    assert "after" not in configmaps(cluster)
    assert etcd_members(cluster) == {FIRST}
    assert before.items() <= running(cluster, FIRST).items(), "a pod elsewhere was restarted or is gone"
    assert cluster.preview() == {}


@pytest.mark.full
def test_a_snapshot_after_one_that_was_cut_off_is_new(cluster: Cluster, tmp_path: Path) -> None:
    """The step of the first one runs to its end on the host, and its result is for no one else."""
    file, marker = tmp_path / "cluster.snapshot", "after-the-cut-off-one"
    cut_off = subprocess.Popen(
        [sys.executable, "-m", "q8s_infra", "snapshot", "--stack", cluster.stack.name, f"--output={tmp_path}/cut-off"],
        cwd=REPOSITORY, env={**os.environ, **environment(), "PYTHONUNBUFFERED": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with cut_off:
        assert cut_off.stdout
        assert any(f"{FIRST}: etcd's data" in line for line in cut_off.stdout)
        cut_off.kill()
    assert not (tmp_path / "cut-off").exists()
    cluster.kubectl("create", "configmap", marker)
    try:
        taken = q8s(cluster.stack.name, "snapshot", f"--output={file}")
        assert taken.returncode == 0, taken.stdout
        seed = stack_keys(cluster.stack.export_stack().deployment or {}).seed
        with tarfile.open(fileobj=io.BytesIO(b"".join(snapshot.checked(file, seed).content()))) as tar:
            data = b"".join(part.read() for member in tar if (part := tar.extractfile(member)))
        assert f"/registry/configmaps/default/{marker}".encode() in data
    finally:
        cluster.kubectl("delete", "configmap", marker)


@pytest.mark.full
def test_three_lost_control_planes_come_back(cluster: Cluster, cloud: Connection, tmp_path: Path) -> None:
    file, names = tmp_path / "cluster.snapshot", {f"test-control-plane-{number}" for number in range(3)}
    try:
        with_control_planes(cluster, 3)
        cluster.up()
        eventually(lambda: set(cluster.kubectl.ready().values()) == {"True"})
        before = workers_pods(cluster)
        taken = q8s(cluster.stack.name, "snapshot", f"--output={file}")
        assert taken.returncode == 0, taken.stdout

        lose(cloud, "test-control-plane-1")
        refused = q8s(cluster.stack.name, "restore", str(file))
        assert refused.returncode == 1, refused.stdout
        assert "openstack server delete test-control-plane-2" in refused.stdout.replace("\n", " ")
        for name in sorted(names - {"test-control-plane-1"}):
            lose(cloud, name)
        restored(cluster, file)
        assert etcd_members(cluster) == names
        assert before.items() <= workers_pods(cluster).items(), "a worker's pod was restarted or is gone"
        assert cluster.preview() == {}
    finally:
        with_control_planes(cluster, 1)
        cluster.up()
