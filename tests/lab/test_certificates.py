"""Certificates of a cluster's control plane, renewed while the cluster goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.kubectl import Kubectl
from q8s_infra.certificates import expires
from tests.lab.conftest import Cluster, q8s
from tests.lab.test_cluster import eventually
from tests.lab.test_cluster_changes import running
from tests.lab.test_control_planes import FIRST

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]


def test_renewed_certificates_expire_later_and_pods_elsewhere_go_on(cluster: Cluster, tmp_path: Path) -> None:
    eventually(lambda: set(cluster.kubectl.ready().values()) == {"True"})
    former, before = str(cluster.stack.outputs()["kubeconfig"].value), running(cluster, FIRST)
    renewed = q8s(cluster.stack.name, "renew")
    print(renewed.stdout)
    assert renewed.returncode == 0, renewed.stdout
    given = str(cluster.stack.outputs()["kubeconfig"].value)
    assert given != former
    assert expires(given) > expires(former)
    kubectl = Kubectl.of(cluster.stack, tmp_path / "kubeconfig")
    eventually(lambda: set(kubectl.ready().values()) == {"True"})
    assert before.items() <= running(cluster, FIRST).items(), "a pod elsewhere was restarted or is gone"
    assert cluster.preview() == {}
