"""Which nodes run which version, where no way leads, and what a host says of it that nobody knew of before."""

from __future__ import annotations

import copy
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.render.kubeadm import upgrade_configuration
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import validated
from q8s_infra.state.model import StackState
from q8s_infra.upgrade import Version, refused, running, step_of
from tests.unit.specs import GOOD
from tests.unit.states import state


def planned(version: str, control_planes: int = 3, **kubernetes: object) -> ClusterPlan:
    description = copy.deepcopy(GOOD)
    description["kubernetes"] = {"version": version, **kubernetes}
    description["controlPlanes"]["count"] = control_planes
    return plan(validated(description))


def stack(cluster: ClusterPlan, *printed: str) -> StackState:
    """What a stack knows of a cluster's nodes, of control planes first."""
    kind = "command:remote:Command"
    return state(
        {
            f"urn:pulumi:dev::q8s::{kind}::{step_of(node)}": {"type": kind, "outputs": {"stdout": said}}
            for node, said in zip(cluster.nodes, printed, strict=False)
        }
    )


def test_later_releases_are_greater() -> None:
    texts = ("v1.34.10", "1.35.0", "v1.34.9\n")
    assert sorted(version for text in texts if (version := Version.of(text))) == [(1, 34, 9), (1, 34, 10), (1, 35, 0)]
    assert str(Version.of("v1.34.10")) == "1.34.10"
    assert Version.of("v1.34.4-rc.0") is None
    assert Version.of("") is None


def test_what_nodes_run_is_what_their_last_steps_have_printed() -> None:
    cluster = planned("1.34.4")
    first, second, third, *workers = (node.name for node in cluster.nodes)
    known = stack(cluster, "v1.34.4\n", "v1.34.3\n", "", "v1.33.13\n")
    assert running(cluster, known) == {
        first: Version(1, 34, 4),
        second: Version(1, 34, 3),
        workers[0]: Version(1, 33, 13),
    }
    assert third not in running(cluster, known)


@pytest.mark.parametrize(
    ("asked", "printed", "says"),
    [
        ("1.34.4", [], None),
        ("1.34.4", ["", "", ""], None),
        ("1.34.4", ["v1.34.4", "v1.34.4", "v1.34.4"], None),
        ("1.34.5", ["v1.34.4", "v1.34.4", "v1.34.4"], None),
        ("1.35.0", ["v1.34.4", "v1.34.4", "v1.34.4"], None),
        # Half done: on to its end, and no further.
        ("1.35.0", ["v1.35.0", "v1.34.4", "v1.34.4"], None),
        ("1.36.0", ["v1.35.0", "v1.34.4", "v1.34.4"], "the cluster runs 1.34.4, and no minor version is passed over: "),
        ("1.36.0", ["v1.34.4"], "take 1.35 before"),
        ("2.0.0", ["v1.34.4"], "take 1.35 before"),
        ("1.34.3", ["v1.34.4"], "the cluster runs 1.34.4, and there is no way back"),
        ("1.34.4", ["v1.34.4", "v1.35.0"], "the cluster runs 1.35.0, and there is no way back"),
    ],
)
def test_where_no_way_leads(asked: str, printed: list[str], says: str | None) -> None:
    cluster = planned(asked)
    mistakes = refused(cluster, running(cluster, stack(cluster, *printed)))
    if says is None:
        assert mistakes == ()
    else:
        (mistake,) = mistakes
        assert mistake.path == "kubernetes.version"
        assert mistake.given == asked
        assert says in mistake.allowed


@pytest.mark.parametrize(
    ("asked", "ignored"), [((), ["CreateJob"]), (("Swap",), ["Swap", "CreateJob"]), (("all",), ["all"])]
)
def test_no_upgrade_waits_for_a_pod_on_an_emulated_node(asked: tuple[str, ...], ignored: list[str]) -> None:
    """kubeadm takes no other name beside ``all``."""
    spec = planned("1.34.5", ignorePreflightErrors=list(asked)).spec
    written = yaml.safe_load(upgrade_configuration(spec))
    assert written["apply"] == {"kubernetesVersion": "v1.34.5", "ignorePreflightErrors": ignored}
    assert written["node"] == {"ignorePreflightErrors": ignored}


KUBECTL = """#!/bin/bash
case $* in
	*configmap*) printf 'apiVersion: v1\\nkubernetesVersion: %s\\n' "$CLUSTER" ;;
	*kubeletVersion*) printf '%s' "$KUBELET" ;;
esac
"""


@pytest.mark.parametrize(
    ("asked", "cluster", "here", "kubelet", "says"),
    [
        ("1.34.4", "v1.34.4", "v1.34.4", "v1.34.4", "runs Kubernetes v1.34.4"),
        ("1.34.4", "v1.34.10", "v1.34.10", "v1.34.10", "runs v1.34.10, and there is no way back to v1.34.4"),
        ("1.34.4", "v1.34.4", "v1.34.4", "v1.35.0", "runs v1.35.0, and there is no way back to v1.34.4"),
        ("1.36.0", "v1.34.10", "v1.34.10", "v1.34.10", "runs v1.34.10: no minor version is passed over"),
    ],
)
def test_a_host_looks_for_itself(tmp_path: Path, asked: str, cluster: str, here: str, kubelet: str, says: str) -> None:
    """Where the stack does not know what runs, the step is the one that refuses, before it changes anything."""
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    manifest = tmp_path / "kube-apiserver.yaml"
    manifest.write_text(f"  containers:\n    image: registry.k8s.io/kube-apiserver:{here}\n    name: kube-apiserver\n")
    for name in ("lib.sh", "apt.sh", "upgrade-control-plane.sh"):
        text = (REPOSITORY / "hostscripts" / name).read_text()
        for path, ours in (
            ("/var/log/q8s", tmp_path / "log"),
            ("/etc/kubernetes/manifests/kube-apiserver.yaml", manifest),
            ("PATH=/usr/local/sbin", f"PATH={tmp_path}:/usr/local/sbin"),
        ):
            text = text.replace(path, str(ours))
        (tmp_path / name).write_text(text)
    words = ("step=upgrade-control-plane", "node=cp-0", "layer=Kubernetes", f"kubernetes={asked}")
    done = subprocess.run(
        ["bash", "upgrade-control-plane.sh", *words],
        cwd=tmp_path,
        env={**os.environ, "CLUSTER": cluster, "KUBELET": kubelet},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert says in done.stderr
    assert done.stdout == (kubelet if "way back" not in says and "passed" not in says else "")
    assert done.returncode == (0 if done.stdout else 1)
