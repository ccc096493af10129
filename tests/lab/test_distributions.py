"""Hosts of a newer and of an older release of Debian than those that all other tests have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection
from pulumi import automation

from lab import distributions, layout
from lab.demo import run_pod
from lab.kubectl import Kubectl
from lab.mirrors import debian
from lab.openstack import catalogue
from lab.openstack.passwords import Passwords
from lab.stack import open_stack
from lab.versions import FURTHER_HOSTS
from tests.lab import conftest
from tests.lab.conftest import leftovers, served
from tests.lab.test_access import NAME, STACK, described

pytestmark = [pytest.mark.full, pytest.mark.timeout(2400)]

OLDER, NEWER = "debian-11", "debian-13"
TYPE = "x86-small"
FIRST, WORKER = f"{NAME}-control-plane-0", f"{NAME}-{TYPE}-0"


@contextmanager
def on_hosts(image: str) -> Iterator[dict[str, Any]]:
    """A cluster of one control plane and one worker, on hosts of an image that the lab offers meanwhile."""
    root, archive, suite = distributions.IMAGES[image], distributions.ARCHIVES[image], FURTHER_HOSTS[image]
    for artifact in (root, archive):
        assert artifact.is_built, "python -m lab distributions builds what these tests need"
    administrator = catalogue.administrator(Passwords.load(layout.SECRETS))
    with catalogue.offered(administrator, image, root.path), served(archive.path) as address:
        config = described(workers={TYPE: 1}, hostImage={"name": image})
        config["q8s:cluster"]["sources"]["hostApt"] = [
            {"uri": f"{address}/{debian.MAIN}", "suites": [suite, f"{suite}-updates"]},
            {"uri": f"{address}/{debian.SECURITY}", "suites": [f"{suite}-security"]},
        ]
        yield config


def test_a_cluster_on_newer_hosts(cloud: Connection, tmp_path: Path) -> None:
    with on_hosts(NEWER) as config, conftest.brought_up(cloud, NAME, config) as stack:
        kubectl = Kubectl.of(stack, tmp_path / "kubeconfig")
        assert kubectl.ready() == {FIRST: "True", WORKER: "True"}
        # A control plane is its host.
        assert kubectl.get("node", FIRST)["status"]["nodeInfo"]["osImage"].startswith("Debian GNU/Linux 13 ")
        assert run_pod(kubectl, "amd64").endswith("x86_64")
        summary = stack.preview().change_summary
        assert {automation.OpType(kind) for kind in summary} == {automation.OpType.SAME}


def test_hosts_that_are_too_old_are_refused_with_what_they_lack(cloud: Connection) -> None:
    with on_hosts(OLDER) as config:
        stack = open_stack(STACK, config)
        try:
            with pytest.raises(automation.CommandError) as failed:
                stack.up(continue_on_error=True)
        finally:
            stack.destroy(remove=True)
    said, needed = str(failed.value), "or newer is needed on this host, which has"
    # systemd and Python, which are looked at first, are just recent enough.
    assert f"node {FIRST}, layer host, step prepare-control-plane: containerd 1.6 {needed} 1.4." in said
    assert f"node {WORKER}, layer host, step prepare-worker: libvirt 8.0 {needed} 7.0." in said
    assert not leftovers(cloud, NAME)
