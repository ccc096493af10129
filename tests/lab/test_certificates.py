"""Certificates of a cluster's control plane, renewed while the cluster goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lab.kubectl import Kubectl
from q8s_infra.certificates import expires, since
from tests.lab.conftest import Cluster, q8s
from tests.lab.test_cluster import eventually
from tests.lab.test_cluster_changes import names, running
from tests.lab.test_control_planes import FIRST

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


@pytest.fixture
def as_before(cluster: Cluster) -> Iterator[None]:
    """The next renewal is for kubeadm's own period again."""
    yield
    cluster.configure()
    cluster.up()


@pytest.mark.usefixtures("as_before")
def test_renewed_certificates_expire_later_and_pods_elsewhere_go_on(cluster: Cluster, tmp_path: Path) -> None:
    eventually(lambda: set(cluster.kubectl.ready().values()) == {"True"})
    former, before = str(cluster.stack.outputs()["kubeconfig"].value), running(cluster, FIRST)
    cluster.describe(lambda asked: asked["kubernetes"].update(certificateValidityPeriod="400d"))
    steps = cluster.preview()
    assert {operation: names(each) for operation, each in steps.items()} == {"update": {f"{FIRST}-host"}}
    renewed = q8s(cluster.stack.name, "renew")
    print(renewed.stdout)
    assert renewed.returncode == 0, renewed.stdout
    given = str(cluster.stack.outputs()["kubeconfig"].value)
    assert given != former
    assert expires(given) > expires(former)
    assert datetime.fromisoformat(expires(given)) - datetime.fromisoformat(since(given)) >= timedelta(days=400)
    kubectl = Kubectl.of(cluster.stack, tmp_path / "kubeconfig")
    settings = kubectl.get("configmap", "-n", "kube-system", "kubeadm-config")["data"]["ClusterConfiguration"]
    assert "certificateValidityPeriod: 9600h" in settings
    eventually(lambda: set(kubectl.ready().values()) == {"True"})
    assert before.items() <= running(cluster, FIRST).items(), "a pod elsewhere was restarted or is gone"
    assert cluster.preview() == {}
