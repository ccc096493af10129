"""What is built is what a cluster's pins say, and the repository holds no code that cannot be had."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.artifact import REPOSITORY, Artifact, Builder
from lab.mirrors import ARTIFACTS, binaries, further, upgrades
from lab.versions import CNI_PLUGINS, EARLIER_KUBERNETES, NEXT_COREDNS, NEXT_ETCD, NEXT_KUBERNETES
from q8s_infra import versions

MODULES = REPOSITORY / "lab" / "go"


@pytest.mark.parametrize(
    ("folder", "module", "version"),
    [
        ("kubernetes", "k8s.io/kubernetes", versions.KUBERNETES),
        ("etcd", "go.etcd.io/etcd/server/v3", versions.ETCD.partition("-")[0]),
        ("etcd", "go.etcd.io/etcd/etcdctl/v3", versions.ETCD.partition("-")[0]),
        ("coredns", "github.com/coredns/coredns", versions.COREDNS),
        (f"kubernetes-{EARLIER_KUBERNETES}", "k8s.io/kubernetes", EARLIER_KUBERNETES),
        (f"kubernetes-{NEXT_KUBERNETES}", "k8s.io/kubernetes", NEXT_KUBERNETES),
        ("etcd-3.6.6", "go.etcd.io/etcd/server/v3", NEXT_ETCD.partition("-")[0]),
        ("etcd-3.6.6", "go.etcd.io/etcd/etcdctl/v3", NEXT_ETCD.partition("-")[0]),
        (f"coredns-{NEXT_COREDNS}", "github.com/coredns/coredns", NEXT_COREDNS),
        ("flannel", "github.com/flannel-io/flannel", versions.FLANNEL),
        ("cni-plugins", "github.com/containernetworking/plugins", CNI_PLUGINS),
    ],
)
def test_a_module_is_required_in_the_pinned_version(folder: str, module: str, version: str) -> None:
    text = (MODULES / folder / "go.mod").read_text()
    assert re.search(rf"^(?:require |\t){re.escape(module)} v{re.escape(version)}(?: |$)", text, re.MULTILINE)


def test_flannels_backend_without_a_published_sdk_is_left_out() -> None:
    text = (MODULES / "flannel" / "go.mod").read_text()
    for name in ("common", "vpc"):
        assert re.search(rf"tencentcloud/{name} => \./tencent/{name}$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "artifacts", [ARTIFACTS, upgrades.ARTIFACTS, further.ARTIFACTS], ids=["mirrors", "upgrades", "further"]
)
def test_every_artifact_comes_after_what_it_needs(artifacts: tuple[Artifact, ...]) -> None:
    pairs = [(needed, artifact) for artifact in artifacts for needed in artifact.needs]
    assert pairs
    for needed, artifact in pairs:
        assert artifacts.index(needed) < artifacts.index(artifact), f"{needed.name} comes after {artifact.name}"


def test_no_two_artifacts_share_a_folder() -> None:
    """What is in a folder under another key than its artifact's is what `lab clean` takes away."""
    every = (*ARTIFACTS, *upgrades.ARTIFACTS, *further.ARTIFACTS)
    names = [artifact.name for artifact in {each.key: each for each in every}.values()]
    assert len(set(names)) == len(names)


def test_kubernetes_is_told_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(Builder, "run", lambda _self, *words, **_settings: commands.append(tuple(map(str, words))))
    for architecture in ("amd64", "arm64"):
        binaries.RELEASE.kubernetes[architecture].build(Builder(out=tmp_path, log=tmp_path / "log"))
    amd64, arm64 = commands
    for command in commands:
        flags = command[command.index("-ldflags") + 1]
        # Changed flags relink only; these two first keep the build cache's entries of all packages.
        assert flags.startswith("-s -w ")
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
            assert f"-X {package}.gitVersion=v{versions.KUBERNETES} " in flags
    # A worker's architecture runs no control plane.
    assert any(word.endswith("/kube-apiserver") for word in amd64)
    assert [word.rpartition("/")[2] for word in arm64 if "/cmd/" in word] == ["kubeadm", "kubelet", "kube-proxy"]
