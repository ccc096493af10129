"""Architectures that differ from most: in CPUs that libvirt does not know, in firmware, names and publishers."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from q8s_infra.arch import ARCHITECTURES
from q8s_infra.components.worker import guest_arguments
from q8s_infra.fetched import fetched
from q8s_infra.plan import plan
from q8s_infra.remote import HOSTSCRIPTS
from q8s_infra.render.domain import domain_xml
from q8s_infra.spec import SpecErrors, validated
from tests.unit.hostscript import apt_get, stand_in, step
from tests.unit.specs import GOOD, KEYED

RISCV: dict[str, Any] = {
    "architecture": "riscv64",
    "cpus": 2,
    "memory": "2GiB",
    "disk": "10GiB",
    "flavor": "c1.medium",
    "qemuArgs": ["-name", "own"],
}
PACKAGES: dict[str, Any] = {**KEYED, "keySha256": "d" * 64}
SOURCES: dict[str, Any] = {"kubernetesApt": PACKAGES, "registryMirror": "http://mirror"}
WORDS = "{http://libvirt.org/schemas/domain/qemu/1.0}commandline"


def described(sources: dict[str, Any], board: dict[str, Any] = RISCV) -> dict[str, Any]:
    """The good description with a worker of the architecture."""
    types = {**GOOD["nodeTypes"], "board": board}
    return {**GOOD, "nodeTypes": types, "workers": {"board": 1}, "sources": sources}


def test_qemu_itself_is_told_the_model_and_starts_the_boot_loader() -> None:
    domain = ET.fromstring(domain_xml(plan(validated(described(SOURCES))).workers[0]))
    machine = domain.find("os/type")
    assert machine is not None
    assert (machine.get("arch"), machine.get("machine")) == ("riscv64", "virt")
    assert domain.findtext("os/kernel") == ARCHITECTURES["riscv64"].boot_loader
    assert domain.find("os/loader") is None
    assert domain.find("cpu") is None
    assert [each.tag for each in domain.iterfind("features/*")] == ["tcg"]
    words = domain.find(WORDS)
    assert words is not None
    assert [word.get("value") for word in words] == ["-cpu", "rv64", "-name", "own"]


def test_where_names_differ_each_layer_has_its_own() -> None:
    planned = plan(validated(described({}, {**RISCV, "architecture": "ppc64el"})))
    domain = ET.fromstring(domain_xml(planned.workers[0]))
    machine = domain.find("os/type")
    assert machine is not None
    assert (machine.get("arch"), machine.get("machine")) == ("ppc64le", "pseries")
    assert domain.findtext("devices/emulator") == "/usr/bin/qemu-system-ppc64"
    assert domain.find("os/kernel") is None
    assert guest_arguments(planned.workers[0])["resumes"] == "no"
    assert "resumes" not in guest_arguments(plan(validated(described(SOURCES))).workers[0])
    listed = [each for each in fetched(planned) if "ppc64" in each.used_by]
    assert {name for each in listed for name in each.architectures} == {"ppc64el"}
    proxies = [each for each in fetched(planned) if "kube-proxy" in each.image]
    assert [each.architectures for each in proxies] == [("the hosts' own", "linux/ppc64le")]


@pytest.mark.parametrize("archive", ["", "images.tar"], ids=["unpacked", "packed"])
def test_images_are_packed_for_guests_of_another_byte_order(tmp_path: Path, archive: str) -> None:
    programs = tmp_path / "programs"
    stand_in(programs, "containerd", "exec sleep 60")
    stand_in(programs, "ctr", f'echo "$*" >>{tmp_path}/asked')
    script = (
        f"source {HOSTSCRIPTS}/container-runtime.sh; source {HOSTSCRIPTS}/payload.sh; PATH={programs}:$PATH; "
        'platform=linux/s390x; registry_hosts() { :; }; proxied() { "$@"; }; proxy_environment() { :; }; '
        f"payload_images $PWD/work $PWD/root '{archive}' an.example/one an.example/two"
    )
    (tmp_path / "work").mkdir()
    done = step(tmp_path, "eval", script)
    assert done.returncode == 0, done.stderr
    said = (tmp_path / "asked").read_text()
    assert said.count("images pull --platform linux/s390x") == 2
    packed = "images export --platform linux/s390x images.tar an.example/one an.example/two"
    assert (packed in said) == bool(archive)


def test_only_where_there_is_pci_a_network_card_s_firmware_is_left_out() -> None:
    def card(architecture: str) -> list[str]:
        board = {**RISCV, "architecture": architecture}
        domain = ET.fromstring(domain_xml(plan(validated(described(SOURCES, board))).workers[0]))
        return [each.tag for each in domain.iterfind("devices/interface/*")]

    assert card("s390x") == [tag for tag in card("ppc64le") if tag != "rom"]
    assert "rom" in card("riscv64")


@pytest.mark.parametrize(
    "sources",
    [{}, {"kubernetesApt": PACKAGES}, {"registryMirror": "http://mirror"}],
    ids=["none", "packages", "images"],
)
def test_workers_that_nobody_publishes_kubernetes_for_need_sources(sources: dict[str, Any]) -> None:
    with pytest.raises(SpecErrors, match=r"workers.board: Kubernetes itself publishes nothing for riscv64: name"):
        validated(described(sources))


def test_one_registrys_mirror_is_enough() -> None:
    registries = {"registry.k8s.io": {"mirror": "http://mirror"}}
    assert validated(described({"kubernetesApt": PACKAGES, "registries": registries}))


@pytest.mark.parametrize(
    ("known", "chosen"),
    [(("new", "old"), "new"), (("old",), "old"), ((), "old")],
    ids=["both", "the second", "neither"],
)
def test_of_alternatives_the_first_is_installed_that_a_source_has(
    tmp_path: Path, known: tuple[str, ...], chosen: str
) -> None:
    words = apt_get(tmp_path)
    names = "|".join(known) or "none"
    knows = f'case ${{@: -1}} in\n{names}) echo "Package: ${{@: -1}}" ;;\n*) exit 100 ;;\nesac'
    stand_in(tmp_path / "programs", "apt-cache", knows)
    done = step(tmp_path, *words[:1], f"{words[1]} apt_install 'new|old'")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text() == f"{chosen}\n"
