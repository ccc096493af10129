"""What `diagnose` says of a cluster that works; test_guest_power.py has one with a broken layer."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from tests.lab.conftest import Cluster, q8s
from tests.lab.test_cluster import WORKERS, eventually

pytestmark = pytest.mark.timeout(900)


def diagnosed(cluster: Cluster, archive: Path, *nodes: str) -> tuple[int, str]:
    """The command's exit code and what it prints."""
    done = q8s(cluster.stack.name, "diagnose", f"--output={archive}", *nodes)
    return done.returncode, done.stdout


def broken_layer(said: str, node: str) -> str:
    """The first broken layer of a node, by its row of the table."""
    row = re.search(rf"^\W*{node}\W+(\w+)", said, re.MULTILINE)
    assert row, said
    return row[1]


def test_a_cluster_that_works_has_no_broken_layer(cluster: Cluster, tmp_path: Path) -> None:
    eventually(lambda: set(cluster.kubectl.ready().values()) == {"True"})
    code, said = diagnosed(cluster, tmp_path / "logs.tar.gz")
    assert code == 0, said
    with tarfile.open(tmp_path / "logs.tar.gz") as tar:
        there = set(tar.getnames())
    for name in WORKERS:
        assert {
            f"{name}/openstack/console.log",
            f"{name}/host/prepare-worker.log",
            f"{name}/host/guest.log",
            f"{name}/host/console.log",
            f"{name}/host/join-guest.txt",
            f"{name}/guest/cloud-init.log",
            f"{name}/guest/kubelet.txt",
            f"{name}/guest/q8s-join.log",
        } <= there
    assert "test-control-plane-0/host/nodes.json" in there
    assert any("kube-apiserver" in name for name in there)
