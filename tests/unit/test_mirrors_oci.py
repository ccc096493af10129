"""Container images written as OCI layouts: what a registry or containerd would read from them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lab.mirrors import further, images
from lab.mirrors.oci import Image, Layer, write_layout
from q8s_infra import versions


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/busybox").write_bytes(b"\x7fELF")
    (folder / "bin/busybox").chmod(0o755)
    (folder / "bin/sh").symlink_to("busybox")
    return folder


def image(tree: Path, tmp_path: Path) -> Image:
    program = tmp_path / "program"
    program.write_bytes(b"program")
    layers = [Layer(tree=tree), Layer(files={"usr/local/bin/kube-proxy": program}, links={"sbin/ip": "../bin/busybox"})]
    return Image({"amd64": layers, "arm64": layers}, entrypoint=["/usr/local/bin/kube-proxy"], command=["--help"])


def blob(layout: Path, digest: str) -> bytes:
    content = (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest.removeprefix("sha256:")
    return content


def manifests(layout: Path) -> dict[str, dict[str, Any]]:
    """Manifest by architecture."""
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    index = json.loads(blob(layout, entry["digest"]))
    assert index["mediaType"] == entry["mediaType"]
    return {each["platform"]["architecture"]: json.loads(blob(layout, each["digest"])) for each in index["manifests"]}


def members(layout: Path, layer: dict[str, Any]) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob(layout, layer["digest"])))) as archive:
        return {member.name: member for member in archive}


def test_every_descriptor_has_the_digest_and_size_of_its_blob(tree: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    write_layout(image(tree, tmp_path), layout)
    found = manifests(layout)
    assert set(found) == {"amd64", "arm64"}
    for architecture, manifest in found.items():
        for descriptor in (manifest["config"], *manifest["layers"]):
            assert len(blob(layout, descriptor["digest"])) == descriptor["size"]
        config = json.loads(blob(layout, manifest["config"]["digest"]))
        assert (config["os"], config["architecture"]) == ("linux", architecture)
        # The diff id is of the tar itself: containerd refuses a layer whose content is another.
        plain = [gzip.decompress(blob(layout, layer["digest"])) for layer in manifest["layers"]]
        assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in plain]


def test_the_configuration_says_what_runs(tree: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    write_layout(image(tree, tmp_path), layout)
    config = json.loads(blob(layout, manifests(layout)["arm64"]["config"]["digest"]))["config"]
    assert config["Entrypoint"] == ["/usr/local/bin/kube-proxy"]
    assert config["Cmd"] == ["--help"]
    # kubeadm's manifests name the control plane's programs without a path.
    assert "/usr/local/bin" in config["Env"][0].removeprefix("PATH=").split(":")


def test_layers_hold_files_links_and_parents_owned_by_root(tree: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    write_layout(image(tree, tmp_path), layout)
    below, above = (members(layout, layer) for layer in manifests(layout)["amd64"]["layers"])
    assert below["bin/sh"].linkname == "busybox"
    assert above["sbin/ip"].linkname == "../bin/busybox"
    assert above["usr/local/bin"].isdir()
    assert above["usr/local/bin/kube-proxy"].mode & 0o777 == 0o755
    for member in (*below.values(), *above.values()):
        assert (member.uid, member.gid, member.mtime) == (0, 0, 0)


def test_the_same_content_makes_the_same_image(tree: Path, tmp_path: Path) -> None:
    written = image(tree, tmp_path)
    write_layout(written, tmp_path / "one")
    (tree / "bin/busybox").touch()
    write_layout(written, tmp_path / "two")
    assert (tmp_path / "one/index.json").read_text() == (tmp_path / "two/index.json").read_text()


def test_skopeo_reads_the_layout_of_every_architecture(tree: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    write_layout(image(tree, tmp_path), layout)
    for architecture in ("amd64", "arm64"):
        command = ("skopeo", "--override-arch", architecture, "inspect", f"oci:{layout}")
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["Architecture"] == architecture


def test_the_registry_has_what_kubeadm_and_flannel_pull() -> None:
    control_plane = {
        f"{name}:v{versions.KUBERNETES}"
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    }
    beside = {
        f"pause:{versions.PAUSE}",
        f"etcd:{versions.ETCD}",
        f"coredns/coredns:v{versions.COREDNS}",
        f"flannel/flannel:v{versions.FLANNEL}",
        f"flannel/flannel-cni-plugin:v{versions.FLANNEL_CNI_PLUGIN}",
    }
    assert control_plane | beside <= set(images.references())


def test_an_image_has_each_architecture_that_its_program_was_built_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("Q8S_CACHE", str(tmp_path))
    built = further.BESIDE.pause
    for artifact in built.values():
        artifact.path.mkdir(parents=True)
        (artifact.path / "pause").touch()
    assert set(images._layers(built, "pause", "pause")) == {"amd64", "arm64", "riscv64", "ppc64le", "s390x"}
    (built["riscv64"].path / "pause").unlink()
    assert set(images._layers(built, "pause", "pause", images.BASE)) == {"amd64", "arm64", "ppc64le", "s390x"}
