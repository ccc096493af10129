"""A cluster gets other versions of Kubernetes, a patch release and the next minor one, while its pods answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

import pytest
from openstack.connection import Connection
from pulumi import automation

from lab import demo, layout
from lab.kubectl import Kubectl, KubectlError
from lab.mirrors import registry, upgrades
from lab.mirrors.binaries import RELEASE, Release
from lab.stack import open_stack
from tests.lab import mirrored
from tests.lab.conftest import Cluster, leftovers, meanwhile, served
from tests.lab.test_cluster import eventually
from tests.lab.test_cluster_changes import names as names_of
from tests.lab.test_control_planes import answered

__all__ = ["answered"]
pytestmark = [pytest.mark.full, pytest.mark.timeout(3000)]

STACK = "lab-upgrade"
CONTROL_PLANES = ("upgrade-control-plane-0", "upgrade-control-plane-1")
WORKERS = ("upgrade-x86-small-0", "upgrade-x86-small-1")


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Release], dict[str, Any]]]:
    """Where the packages of a release and all images are: fields of ``sources``."""
    for artifact in (*upgrades.PACKAGES.values(), upgrades.IMAGES):
        assert artifact.is_built, "python -m lab upgrades builds what these tests need"
    folder = tmp_path_factory.mktemp("mirror")
    for minor, packages in upgrades.PACKAGES.items():
        (folder / minor).symlink_to(packages.path)
    with (
        served(folder) as address,
        registry.running(upgrades.IMAGES.path, folder / "log", layout.MIRROR_ADDRESS, read_only=True) as images,
    ):

        def sources(release: Release) -> dict[str, Any]:
            return {"uri": f"{address}/{release.minor}/", "registry": f"http://{images}"}

        yield sources


class Describe(Protocol):
    """Asks for a release, and for other fields of the workers' type."""

    def __call__(self, cluster: Cluster, release: Release, **fields: str) -> None: ...


@pytest.fixture(scope="module")
def described(mirror: Callable[[Release], dict[str, Any]]) -> Describe:
    """The cluster's description with another release, and with other fields of its type."""

    def describe(cluster: Cluster, release: Release, **fields: str) -> None:
        def change(asked: dict[str, Any]) -> None:
            where = mirror(release)
            asked["kubernetes"]["version"] = release.version
            asked["sources"] = mirrored.described(f"http://{layout.MIRROR_ADDRESS}", where["registry"])["sources"]
            asked["sources"]["kubernetesApt"]["uri"] = where["uri"]
            asked["nodeTypes"]["x86-small"].update(fields)

        cluster.describe(change)

    return describe


@pytest.fixture(scope="module")
def cluster(cloud: Connection, described: Describe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two control planes and two workers of the earlier release."""
    config = demo.description("dev", name="upgrade")
    config["q8s:cluster"]["controlPlanes"]["count"] = len(CONTROL_PLANES)
    config["q8s:cluster"]["workers"] = {"x86-small": len(WORKERS)}
    made = Cluster(
        open_stack(STACK, config), Kubectl(tmp_path_factory.mktemp("cluster") / "kubeconfig"), config, [], {}
    )
    try:
        described(made, upgrades.EARLIER)
        made.up()
        made.kubectl = Kubectl.of(made.stack, made.kubectl.kubeconfig)
        yield made
    finally:
        made.stack.destroy(remove=True)
        assert not leftovers(cloud, "upgrade"), "destroy leaves something in the project"


def info(cluster: Cluster, field: str) -> dict[str, str]:
    """A field of what each node says of its system."""
    return {name: node["status"]["nodeInfo"][field] for name, node in cluster.nodes().items()}


def restarts(cluster: Cluster) -> dict[str, int]:
    """Restarts of the pods that stay where they are through an upgrade: those of no controller, and the network's."""
    return {
        pod["metadata"]["uid"]: sum(it["restartCount"] for it in pod["status"]["containerStatuses"])
        for pod in cluster.kubectl.get("pods", "-A")["items"]
        if pod["metadata"]["name"] == "client"
        or (pod["metadata"]["namespace"] == "kube-flannel" and pod["spec"]["nodeName"] in WORKERS)
    }


def is_upgraded(cluster: Cluster, release: Release, answered: Callable[[], Counter[str]]) -> str:
    """The cluster gets a release, whatever is described; what Pulumi says."""
    before, boots, requests = restarts(cluster), info(cluster, "bootID"), answered()
    steps = cluster.preview()
    assert set(steps) == {"update"}, steps
    assert names_of(steps["update"]) == {
        *(f"{name}{part}" for name in CONTROL_PLANES for part in ("-host", "-upgrade")),
        *(f"{CONTROL_PLANES[0]}-x86_64-{part}" for part in ("payload", "checksums")),
        *(f"{name}{part}" for name in WORKERS for part in ("-guest", "-node")),
    }
    said = cluster.up()

    version = f"v{release.version}"
    nodes = (*CONTROL_PLANES, *WORKERS)
    assert info(cluster, "kubeletVersion") == dict.fromkeys(nodes, version)
    assert cluster.kubectl("version", "-o", "yaml").count(f"gitVersion: {version}\n") >= 1
    # One after the other: control planes in their order, then workers, each done before the next begins.
    done = [said.index(f"{name}: runs Kubernetes {version}") for name in nodes]
    assert done == sorted(done)
    begun = [said.index(f"{name}: upgrading Kubernetes from") for name in WORKERS]
    assert done[1] < begun[0] < done[2] < begun[1] < done[3]

    eventually(lambda: set(cluster.kubectl.ready().values()) == {"True"})
    assert not any(node["spec"].get("unschedulable") for node in cluster.nodes().values())
    assert info(cluster, "bootID").items() >= {name: boots[name] for name in WORKERS}.items(), "a guest has booted"
    assert restarts(cluster) == before, "a pod was restarted that was to stay"
    cluster.kubectl("rollout", "status", "daemonset/kube-proxy", "-n", "kube-system", "--timeout=300s")
    cluster.kubectl("rollout", "status", "deployment/coredns", "-n", "kube-system", "--timeout=300s")
    cluster.kubectl("rollout", "status", "deployment/served", "--timeout=300s")
    assert cluster.preview() == {}
    after = answered()
    print(f"answered {after['ok'] - requests['ok']}, not answered {after['failed'] - requests['failed']}")
    assert after["failed"] == requests["failed"]
    assert after["ok"] > requests["ok"] + 30
    return said


def test_no_minor_version_is_passed_over_and_there_is_no_way_back(cluster: Cluster) -> None:
    refused = {"1.36.0": "no minor version is passed over: take 1.35 before", "1.33.0": "there is no way back"}
    for version, why in refused.items():
        cluster.describe(lambda asked, version=version: asked["kubernetes"].update(version=version))
        with pytest.raises(
            automation.CommandError,
            match=re.escape(f"kubernetes.version: the cluster runs {upgrades.EARLIER.version}, and {why}"),
        ):
            cluster.preview()


def test_a_patch_release(cluster: Cluster, described: Describe, answered: Callable[[], Counter[str]]) -> None:
    described(cluster, RELEASE)
    said = is_upgraded(cluster, RELEASE, answered)
    assert "draining" not in said


def test_the_next_minor_release(cluster: Cluster, described: Describe, answered: Callable[[], Counter[str]]) -> None:
    where = cluster.kubectl.get("pod", "client")["spec"]["nodeName"]
    described(cluster, upgrades.NEXT)
    said = is_upgraded(cluster, upgrades.NEXT, answered)
    for name in WORKERS:
        assert f"{name}: draining" in said
        # The client is nobody's: nothing would make it again, so its node keeps what it has.
        assert (f"{name}: not drained" in said) == (name == where)


# Another parameter of the module's fixture is another cluster, and the one before goes first.
@pytest.mark.parametrize("cluster", ["of the earlier release again"], indirect=True)
def test_a_release_and_another_memory_in_one_run(cluster: Cluster, cloud: Connection, described: Describe) -> None:
    hosts = {name: cloud.compute.find_server(name, ignore_missing=False).id for name in WORKERS}
    boots = info(cluster, "bootID")
    described(cluster, RELEASE, memory="3GiB")
    steps = {operation: names_of(resources) for operation, resources in cluster.preview().items()}
    guests = {f"{name}{part}" for name in WORKERS for part in ("-guest", "-node")}
    assert steps.pop("update") == {
        *(f"{name}{part}" for name in CONTROL_PLANES for part in ("-host", "-upgrade")),
        *(f"{CONTROL_PLANES[0]}-x86_64-{part}" for part in ("payload", "checksums")),
    }
    assert set().union(*steps.values()) == guests

    seen: set[frozenset[str]] = set()

    def look() -> None:
        # While the first control plane is upgraded, its API server does not answer.
        with suppress(KubectlError):
            ready = cluster.kubectl.ready()
            seen.add(frozenset(name for name in WORKERS if ready.get(name) == "True"))

    with meanwhile(look, 1):
        said = cluster.up()
    assert "memory 3GiB, was 2GiB" in said
    assert seen >= {frozenset({name}) for name in WORKERS}
    assert frozenset() not in seen, "both were down at once"

    version = f"v{RELEASE.version}"
    upgraded = [said.index(f"{name}: runs Kubernetes {version}") for name in CONTROL_PLANES]
    away = [said.index(f"{name}: draining") for name in WORKERS]
    assert [*upgraded, *away] == sorted([*upgraded, *away])
    for name in WORKERS:
        assert f"{name}: upgrading Kubernetes from" not in said, "it has come with the new version"
        memory = int(cluster.nodes()[name]["status"]["capacity"]["memory"].removesuffix("Ki"))
        assert 0.9 * 3 * 2**20 < memory <= 3 * 2**20
        assert info(cluster, "bootID")[name] != boots[name]
    assert info(cluster, "kubeletVersion") == dict.fromkeys((*CONTROL_PLANES, *WORKERS), version)
    assert {name: cloud.compute.find_server(name, ignore_missing=False).id for name in WORKERS} == hosts
    eventually(lambda: set(cluster.kubectl.ready().values()) == {"True"})
    assert cluster.preview() == {}
