"""Clusters as a project has them: by the prototype's own file, and several of them side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from openstack.connection import Connection
from pulumi import automation

from lab import demo, layout
from lab.artifact import REPOSITORY
from lab.demo import run_pod
from lab.kubectl import Kubectl
from tests.lab.conftest import brought_up, leftovers
from tests.lab.test_cluster import eventually

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

NO_NETWORK = "00000000-0000-4000-8000-000000000000"


def pods(kubectl: Kubectl) -> dict[str, tuple[str, int]]:
    """Node and restarts of each pod."""
    return {
        pod["metadata"]["uid"]: (
            pod["spec"]["nodeName"],
            sum(it["restartCount"] for it in pod["status"].get("containerStatuses", [])),
        )
        for pod in kubectl.get("pods", "-A")["items"]
    }


def test_the_prototypes_file_with_its_networks_id_filled_in(cloud: Connection, tmp_path: Path) -> None:
    network = cloud.network.find_network(layout.PRIVATE_NETWORK)
    assert network
    file = tmp_path / "cluster.yaml"
    file.write_text((REPOSITORY / "clusters/prototype.yaml").read_text().replace(NO_NETWORK, network.id))
    # What the lab overrides of any cluster (docs/lab.md), and nothing else.
    here = demo.description("dev", name="published")["q8s:cluster"]
    overridden = {field: here[field] for field in ("hostImage", "access", "kubernetes", "guestImages", "sources")}
    config = {"q8s:clusterFile": str(file), "q8s:cluster": overridden | {"name": "published"}}
    with brought_up(cloud, "published", config) as stack:
        kubectl = Kubectl.of(stack, tmp_path / "kubeconfig")
        nodes = {"q8s-first", "published-control-plane-1", "published-x86-small-0", "published-arm-mid-0"}
        assert kubectl.ready() == dict.fromkeys(nodes, "True")
        assert run_pod(kubectl, "amd64").endswith("x86_64")
        assert run_pod(kubectl, "arm64").endswith("aarch64")
        assert kubectl.get("node", "published-arm-mid-0")["status"]["capacity"]["cpu"] == "6"


def test_of_two_clusters_in_a_project_one_goes_and_the_other_stays(cloud: Connection, tmp_path: Path) -> None:
    stays, goes = (demo.description("dev", name=name) for name in ("stays", "goes"))
    stays["q8s:cluster"]["workers"] = {"x86-small": 1}
    goes["q8s:cluster"]["workers"] = {}
    with brought_up(cloud, "stays", stays) as stack:
        kubectl = Kubectl.of(stack, tmp_path / "kubeconfig")
        ready = {"stays-control-plane-0": "True", "stays-x86-small-0": "True"}
        assert kubectl.ready() == ready
        before, there = pods(kubectl), leftovers(cloud, "stays")
        with brought_up(cloud, "goes", goes) as other:
            there_too = Kubectl.of(other, tmp_path / "other")
            # No worker's step has waited for the network.
            assert eventually(lambda: there_too.ready() == {"goes-control-plane-0": "True"})
        assert (kubectl.ready(), pods(kubectl), leftovers(cloud, "stays")) == (ready, before, there)
        assert {automation.OpType(kind).value for kind in stack.preview().change_summary} == {"same"}
        assert run_pod(kubectl, "amd64").endswith("x86_64")
