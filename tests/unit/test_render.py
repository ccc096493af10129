"""What the program renders, against golden files.

``UPDATE_GOLDEN=1 pytest tests/unit/test_render.py`` writes them anew.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from q8s_infra.render.kubeadm import init_configuration
from q8s_infra.render.sources import apt_files, guest_apt_files
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import validated
from q8s_infra.spec.sources import KUBERNETES_KEY
from tests.unit.rendered import ADDRESS, SHAPES, documents
from tests.unit.specs import GOOD, spoiled

OF_EVERY_SHAPE = ("plan.txt", "rules.json", "init.yaml", "domain.xml", "join.yaml")
GOLDEN = Path(__file__).parent / "golden" / "render"


@pytest.mark.parametrize("shape", SHAPES)
def test_every_document_is_as_expected(shape: str) -> None:
    folder, rendered = GOLDEN / shape, documents(shape)
    if shape != "dev":
        rendered = {name: text for name, text in rendered.items() if name.endswith(OF_EVERY_SHAPE)}
    if "UPDATE_GOLDEN" in os.environ:
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in rendered.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    golden = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert rendered == golden


@pytest.mark.parametrize("shape", SHAPES)
def test_cloud_init_runs_what_it_is_asked_for_and_writes_files_before_it_runs_commands(shape: str) -> None:
    module_of = {
        "disable_root": "ssh",
        "ssh_deletekeys": "ssh",
        "ssh_genkeytypes": "ssh",
        "users": "users_groups",
    }
    no_module = {"preserve_hostname", "manage_etc_hosts"}
    seeds = [text for name, text in documents(shape).items() if name.endswith("seed/user-data")]
    assert seeds
    for text in seeds:
        asked = yaml.safe_load(text)
        stages = [asked.pop(f"cloud_{stage}_modules") for stage in ("init", "config", "final")]
        modules = [module for stage in stages for module in stage]
        assert {module_of.get(key, key) for key in asked.keys() - no_module} <= set(modules)
        assert modules.index("write_files") < modules.index("bootcmd")


@pytest.mark.parametrize("shape", SHAPES)
def test_rendering_twice_gives_the_same(shape: str) -> None:
    assert documents(shape) == documents(shape)


def controller_manager(size: object) -> list[dict[str, str]]:
    """The arguments of the controller manager for a size of nodes' pod subnets."""
    spec = validated(spoiled("kubernetes", {} if size is ... else {"nodeCidrMaskSize": size}))
    documents_of_init = yaml.safe_load_all(init_configuration(spec, node="demo", address=ADDRESS, names=[]))
    (cluster,) = (each for each in documents_of_init if each["kind"] == "ClusterConfiguration")
    arguments: list[dict[str, str]] = cluster["controllerManager"]["extraArgs"]
    return arguments


@pytest.mark.parametrize("size", [..., 24])
def test_a_node_s_subnet_of_kubernetes_own_size_leaves_the_configuration_as_it_was(size: object) -> None:
    assert controller_manager(size) == [{"name": "profiling", "value": "false"}]


@pytest.mark.parametrize("size", [20, 25])
def test_another_size_of_a_node_s_subnet_is_an_argument(size: int) -> None:
    assert {"name": "node-cidr-mask-size-ipv4", "value": str(size)} in controller_manager(size)


def test_all_control_planes_have_the_files_that_their_api_servers_mount() -> None:
    """A file that is missing keeps the API server from starting."""
    rendered = init_configuration(validated(GOOD), node="demo", address=ADDRESS, names=[])
    (cluster,) = (each for each in yaml.safe_load_all(rendered) if each["kind"] == "ClusterConfiguration")
    mounted = [each["hostPath"] for each in cluster["apiServer"]["extraVolumes"] if each.get("pathType") == "File"]
    named = [each["value"] for each in cluster["apiServer"]["extraArgs"] if each["value"].endswith(".yaml")]
    assert sorted(mounted) == sorted(named)
    assert mounted
    for script in ("init-cluster.sh", "join-control-plane.sh"):
        text = (REPOSITORY / "hostscripts" / script).read_text()
        installed = re.findall(r'^\s*install -D -m 0600 "\$inbox/\S+" (\S+)$', text, re.MULTILINE)
        assert set(mounted) <= set(installed), script


KEYED = {"uri": "http://mirror/debian", "suites": ["trixie"], "keyUrl": "http://mirror/key.asc"}
SUMMED = {**KEYED, "keySha256": "d" * 64}


def apt(sources: object) -> dict[str, str]:
    """The apt files of a worker's host and of its guest's payload by a description's sources."""
    spec = validated(spoiled("sources", sources))
    host, guest = apt_files(spec, kubernetes=False), guest_apt_files(spec, "arm64")
    return {**host, **guest, "apt/keys": host["apt/keys"] + guest["apt/keys"]}


def test_sources_that_are_all_keyed_by_checksum_bring_no_keyring_and_name_no_fingerprint() -> None:
    files = apt({"hostApt": [SUMMED], "guestApt": {"arm64": [SUMMED]}, "kubernetesApt": SUMMED})
    assert sorted(files) == [
        "apt/guest/q8s-0.sources",
        "apt/guest/q8s-1.sources",
        "apt/host/q8s-0.sources",
        "apt/instead",
        "apt/keys",
    ]
    assert files["apt/keys"] == 2 * f"{'d' * 64} http://mirror/key.asc\n"
    assert {text for name, text in files.items() if name.endswith(".sources")} == {
        "Types: deb\nURIs: http://mirror/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By: /etc/apt/keyrings/q8s-dddddddddddd.asc\n"
    }


def test_without_overrides_packages_are_checked_by_fingerprint_and_archive_keyring() -> None:
    files = apt({})
    pin, url, name = files["apt/keys"].split()
    assert (pin, url) == (KUBERNETES_KEY, "https://pkgs.k8s.io/core:/stable:/v1.34/deb/Release.key")
    assert f"Signed-By: /etc/apt/keyrings/{name}\n" in files["apt/guest/q8s-1.sources"]
    _, keyring = files["apt/keyrings"].split()
    assert f"Signed-By: {keyring}\n" in files["apt/guest/q8s-0.sources"]


def test_a_host_s_source_without_a_key_is_left_to_the_image_s_own_keys() -> None:
    host = {"uri": "http://mirror/debian", "suites": ["bookworm"]}
    assert "Signed-By" not in apt({"hostApt": [host]})["apt/host/q8s-0.sources"]


def test_a_guest_s_source_is_checked_by_its_own_key_or_by_its_distribution_s() -> None:
    mirror = {"uri": "http://mirror/debian", "suites": ["trixie"]}
    files = apt({"guestApt": {"arm64": [mirror, SUMMED]}})
    assert files["apt/keyrings"] == "debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg\n"
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n" in files["apt/guest/q8s-0.sources"]
    assert "Signed-By: /etc/apt/keyrings/q8s-dddddddddddd.asc\n" in files["apt/guest/q8s-1.sources"]


def test_keys_of_one_fingerprint_from_two_places_are_two_files() -> None:
    listed = {**KEYED, "keyFingerprints": ["b" * 40, "a" * 40]}
    other = {**listed, "keyUrl": "http://other/key.asc"}
    lines = [line.split() for line in apt({"hostApt": [listed, other]})["apt/keys"].splitlines()]
    fingerprints = f"{'A' * 40},{'B' * 40}"
    assert {(pin, url) for pin, url, _ in lines} == {
        (fingerprints, "http://mirror/key.asc"),
        (fingerprints, "http://other/key.asc"),
        (KUBERNETES_KEY, "https://pkgs.k8s.io/core:/stable:/v1.34/deb/Release.key"),
    }
    assert len({name for _, _, name in lines}) == len(lines)


@pytest.mark.parametrize(("driver", "is_container"), [("systemd", False), ("cgroupfs", True)])
def test_only_hosts_that_are_containers_keep_their_limits_and_control_groups(driver: str, is_container: bool) -> None:
    spec = validated(spoiled("kubernetes", {"cgroupDriver": driver}))
    found = {
        each["kind"]: each
        for each in yaml.safe_load_all(init_configuration(spec, node="demo", address=ADDRESS, names=[]))
    }
    assert ("conntrack" in found["KubeProxyConfiguration"]) == is_container
    assert ("failCgroupV1" in found["KubeletConfiguration"]) == is_container
