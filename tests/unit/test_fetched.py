"""The list of what a stack fetches is what its hosts and guests are told to fetch."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from lab.mirrors.images import references
from lab.versions import BUSYBOX
from q8s_infra import versions
from q8s_infra.arch import ARCHITECTURES
from q8s_infra.cli import cli
from q8s_infra.components.flannel import _pod
from q8s_infra.fetched import (
    CA_CERTIFICATES,
    CONTROL_PLANE_PACKAGES,
    GPG,
    GPGV,
    HOSTS,
    KUBERNETES_PACKAGES,
    PAYLOAD_PACKAGES,
    Fetched,
    document,
    fetched,
    notes,
)
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.render.payload import payload
from q8s_infra.render.sources import apt_files, guest_apt_files
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import validated
from tests.unit.specs import GOOD, KEYED, OF_WORKERS, UBUNTU, spoiled

INSTALLED = re.compile(r"^[^#\n]*\bapt_install (.+?)(?:$| \|\|)", re.MULTILINE)
MIRROR = "http://mirror"


def of(**fields: Any) -> ClusterPlan:
    """The plan of the good description with other fields."""
    return plan(validated({**GOOD, **fields}))


def found(planned: ClusterPlan, kind: str) -> list[Fetched]:
    return [each for each in fetched(planned) if each.kind == kind]


def test_packages_of_hosts_are_those_that_their_scripts_install() -> None:
    scripts = {path: path.read_text() for path in (REPOSITORY / "hostscripts").glob("*.sh")}
    words = [word for text in scripts.values() for line in INSTALLED.findall(text) for word in line.split()]
    named = {word.strip('"').partition("=")[0] for word in words if "$" not in word.partition("=")[0]}
    assert named == {*CONTROL_PLANE_PACKAGES, *KUBERNETES_PACKAGES, *PAYLOAD_PACKAGES, GPG, GPGV, CA_CERTIFICATES}
    prepared = INSTALLED.findall(scripts[REPOSITORY / "hostscripts/prepare-control-plane.sh"])
    assert prepared[0].split() == list(CONTROL_PLANE_PACKAGES)
    (kubernetes,) = (it for it in found(of(), "package repository") if it.used_by == "control planes")
    assert prepared[1].replace('"', "").replace("$kubernetes", versions.KUBERNETES).split() == list(kubernetes.packages)


def test_container_images_are_kubeadm_s_and_flannel_s() -> None:
    images = {each.image for each in found(of(), "container image")}
    served = {reference for reference in references() if reference != f"library/busybox:{BUSYBOX}"}
    assert {image.partition("/")[2] for image in images} == served
    pod = _pod(validated(GOOD))
    containers: list[Any] = [*pod.init_containers, *pod.containers]  # type: ignore[misc]
    assert {each.image for each in containers} <= images


@pytest.mark.parametrize("name", OF_WORKERS)
def test_guests_packages_and_images_are_their_payload_s(name: str) -> None:
    planned, architecture = of(), ARCHITECTURES[name]
    disk = payload(planned.spec, architecture)
    theirs = [it for it in found(planned, "package repository") if it.used_by.startswith(f"guests of {name}")]
    assert sorted(package for each in theirs for package in each.packages) == sorted(disk.packages)
    assert {each.architectures for each in theirs} == {(architecture.debian,)}
    platform = f"linux/{architecture.oci}"
    assert {it.image for it in found(planned, "container image") if platform in it.architectures} >= {*disk.images}


@pytest.mark.parametrize(
    "sources",
    [
        {},
        {"kubernetesKeySha256": "c" * 64},
        {
            "hostApt": [{**KEYED, "keySha256": "d" * 64}],
            "guestApt": {
                name: [{**KEYED, "uri": f"{MIRROR}/{name}", "keyFingerprints": ["a" * 40]}] for name in OF_WORKERS
            },
            "kubernetesApt": {**KEYED, "uri": f"{MIRROR}/k8s", "keySha256": "d" * 64},
            "registryMirror": MIRROR,
        },
    ],
    ids=["internet", "checksum", "mirror"],
)
def test_repositories_and_keys_are_those_that_hosts_are_given(sources: dict[str, Any]) -> None:
    planned = of(sources=sources)
    guests = (guest_apt_files(planned.spec, name) for name in OF_WORKERS)
    files = [apt_files(planned.spec, kubernetes=True), *guests]
    written = "\n".join(text for each in files for text in each.values())
    given = set(re.findall(r"^URIs: (.*)$", written, re.MULTILINE))
    assert {it.url for it in found(planned, "package repository") if "://" in it.url} == given
    lines = {line for each in files for line in each["apt/keys"].splitlines()}
    assert {(it.checked_by.split()[-1], it.url) for it in found(planned, "key")} == {
        tuple(line.split()[:2]) for line in lines
    }
    packages = {name for it in found(planned, "package repository") if it.used_by == "hosts" for name in it.packages}
    keyrings = {line.split()[0] for each in files for line in each.get("apt/keyrings", "").splitlines()}
    assert keyrings <= packages
    assert (GPG in packages) == any(len(line.split()) > 2 for line in lines)


def test_a_site_without_internet_fetches_nothing_from_elsewhere() -> None:
    source = {**KEYED, "uri": f"{MIRROR}/apt", "keyUrl": f"{MIRROR}/key", "keySha256": "d" * 64}
    planned = of(
        sources={
            "hostApt": [source],
            "guestApt": {name: [source] for name in OF_WORKERS},
            "kubernetesApt": source,
            "registryMirror": MIRROR,
        }
    )
    assert all(each.url.startswith(MIRROR) for each in fetched(planned))


def test_an_image_without_a_checksum_needs_what_its_publisher_signed() -> None:
    url = f"{UBUNTU}/release-20260911/a.img"
    planned = plan(validated(spoiled("guestImages/arm64", {"url": url})))
    folder = url.rpartition("/")[0]
    assert [it.url for it in found(planned, "checksums")] == [f"{folder}/SHA256SUMS"]
    assert [it.url for it in found(planned, "signature")] == [f"{folder}/SHA256SUMS.gpg"]
    assert {it.url for it in found(planned, "guest image")} == {url, GOOD["guestImages"]["x86_64"]["url"]}
    (hosts,) = (it for it in found(planned, "package repository") if it.used_by == "hosts")
    assert {"ubuntu-keyring", GPGV} <= {*hosts.packages}
    assert hosts.architectures == (HOSTS,)


def test_an_architecture_without_workers_is_not_fetched() -> None:
    told = json.dumps(document(of(workers={"x86": 1})))
    assert "arm64" not in told
    assert "qemu-system-arm" not in told


def test_another_version_of_kubernetes_is_told_what_the_list_can_t_say() -> None:
    assert not notes(of())
    (note,) = notes(of(kubernetes={"version": "1.35.0"}))
    assert versions.KUBERNETES in note
    assert "etcd, coredns and pause" in note


def test_the_command_prints_both_forms() -> None:
    words = ["sources", str(REPOSITORY / "Pulumi.dev.yaml")]
    told, machine = (CliRunner().invoke(cli, [*words, *more]) for more in ([], ["--json"]))
    assert (told.exit_code, machine.exit_code) == (0, 0)
    things = json.loads(machine.stdout)["fetched"]
    assert all({"kind", "used_by", "url", "checked_by"} <= thing.keys() for thing in things)
    assert all(thing.get("image", thing["url"]) in told.stdout for thing in things)
    assert CliRunner().invoke(cli, ["sources"]).exit_code == 1
