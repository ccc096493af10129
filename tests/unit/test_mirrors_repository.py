"""A signed repository of packages, read by apt itself; apt's own errors where something is wrong."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab import apt
from lab.artifact import Artifact, Builder, BuildError
from lab.mirrors import kubernetes, signing


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def make_package(builder: Builder, name: str, depends: str = "") -> None:
    tree = builder.out.parent / f"tree-{name}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share").mkdir(parents=True)
    (tree / "usr/share" / name).write_text(name)
    fields = f"Package: {name}\nVersion: 1.0-1\nArchitecture: all\nMaintainer: lab <root@localhost>\n"
    (tree / "DEBIAN/control").write_text(f"{fields}{depends}Description: a test\n")
    builder.run("dpkg-deb", "--root-owner-group", "--build", tree, builder.out)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat repository with two packages, signed by a key of its own; the key is in ``key/``."""
    work = tmp_path_factory.mktemp("repository")
    builder = Builder(out=work / "out", log=work / "log")
    builder.out.mkdir()
    make_package(builder, "q8s-above", "Depends: q8s-below\n")
    make_package(builder, "q8s-below")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("Q8S_CACHE", str(work / "cache"))
        key = signing.KEY
        key.ensure()
        shutil.copytree(key.path, work / "key")
        signing.index(builder, builder.out, {})
        signing.sign(builder, builder.out, {"Origin": "test", "Suite": "", "Architectures": "amd64 arm64"})
    return work


def test_a_long_folder_for_temporary_files_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("t" * 150)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setenv("Q8S_CACHE", str(tmp_path / "cache"))
    signing.KEY.ensure()
    assert "PUBLIC KEY" in (signing.KEY.path / signing.PUBLIC_KEY).read_text()
    assert not list(long.iterdir())


def reader(work: Path, architecture: str) -> apt.PrivateApt:
    return apt.PrivateApt(work / "root", architecture, Builder(out=work, log=work / "log"))


def source(repository: Path, key: Path) -> str:
    return f"deb [signed-by={key}] copy:{repository / 'out'} /"


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_apt_fetches_a_package_with_what_it_needs(repository: Path, tmp_path: Path, architecture: str) -> None:
    private = reader(tmp_path, architecture)
    private.update([source(repository, repository / "key" / signing.PUBLIC_KEY)])
    assert [file.name for file in private.download_closure(["q8s-above"])] == [
        "q8s-above_1.0-1_all.deb",
        "q8s-below_1.0-1_all.deb",
    ]


def test_what_was_fetched_is_unpacked_without_running_it(repository: Path, tmp_path: Path) -> None:
    private = reader(tmp_path, "arm64")
    private.update([source(repository, repository / "key" / signing.PUBLIC_KEY)])
    apt.unpack(private.builder, private.download_closure(["q8s-below"]), tmp_path / "tree")
    assert (tmp_path / "tree/usr/share/q8s-below").read_text() == "q8s-below"


def test_another_key_is_refused(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q8S_CACHE", str(tmp_path / "cache"))
    signing.KEY.ensure()
    private = reader(tmp_path, "amd64")
    with pytest.raises(BuildError, match=r"(?s)exited 100.*NO_PUBKEY"):
        private.update([source(repository, signing.KEY.path / signing.PUBLIC_KEY)])


def test_an_index_changed_after_signing_is_refused(repository: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(repository / "out", changed / "out")
    for packages in changed.glob("out/Packages*"):
        packages.write_bytes(packages.read_bytes() + b"\n")
    private = reader(tmp_path, "amd64")
    with pytest.raises(BuildError, match=r"(?s)exited 100.*Hashes of received file"):
        private.update([source(changed, repository / "key" / signing.PUBLIC_KEY)])


def test_a_package_changed_after_signing_is_refused(repository: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(repository / "out", changed / "out")
    package = changed / "out/q8s-below_1.0-1_all.deb"
    package.write_bytes(package.read_bytes().replace(b"a", b"b"))
    private = reader(tmp_path, "amd64")
    private.update([source(changed, repository / "key" / signing.PUBLIC_KEY)])
    with pytest.raises(BuildError, match=r"(?s)exited 100.*Hashes of received file"):
        private.download_closure(["q8s-below"])


def test_an_unknown_package_is_named(repository: Path, tmp_path: Path) -> None:
    private = reader(tmp_path, "amd64")
    private.update([source(repository, repository / "key" / signing.PUBLIC_KEY)])
    with pytest.raises(BuildError, match="q8s-nowhere"):
        private.download_closure(["q8s-nowhere"])


def test_only_the_owner_reads_the_secret_key(repository: Path) -> None:
    secrets = [file for file in (repository / "key").iterdir() if file.name != signing.PUBLIC_KEY]
    assert secrets
    assert all(file.stat().st_mode & 0o077 == 0 for file in secrets)
    assert "PRIVATE" not in (repository / "key" / signing.PUBLIC_KEY).read_text()


def test_a_mirror_named_in_the_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q8S_APT_MIRROR", "http://archive.test/debian")
    monkeypatch.setenv("Q8S_APT_SECURITY_MIRROR", "http://archive.test/security")
    lines = apt.suites("trixie")
    assert [line.split()[2:] for line in lines] == [
        ["http://archive.test/debian", "trixie", "main"],
        ["http://archive.test/debian", "trixie-updates", "main"],
        ["http://archive.test/security", "trixie-security", "main"],
    ]
    assert all(f"signed-by={apt.KEYRING}" in line for line in lines)


def test_kubernetes_packages_have_upstreams_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files in place of the executables: paths, fields and the units are what is asked about."""
    monkeypatch.setenv("Q8S_CACHE", str(tmp_path / "cache"))
    signing.KEY.ensure()
    for built, names in ((kubernetes.binaries.RELEASE.kubernetes, ("kubelet", "kubeadm", "kubectl")),
                         (kubernetes.binaries.BESIDE.cni_plugins, ("bridge", "portmap"))):  # fmt: skip
        for artifact in built.values():
            fill(artifact, names)
    assert kubernetes.PACKAGES.ensure() is not None
    out = kubernetes.PACKAGES.path
    (kubelet,) = out.rglob("kubelet_*_arm64.deb")
    listed = subprocess.run(["dpkg-deb", "--contents", kubelet], capture_output=True, text=True, check=True).stdout
    assert "root/root" in listed
    for path in ("usr/bin/kubelet", "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"):
        assert f"./{path}" in listed
    fields = subprocess.run(["dpkg-deb", "--field", kubelet], capture_output=True, text=True, check=True).stdout
    for package in ("iptables", "mount", "util-linux", "kubernetes-cni"):
        assert package in fields.split("Depends:")[1].splitlines()[0]
    (cni,) = out.rglob("kubernetes-cni_*_amd64.deb")
    listed = subprocess.run(["dpkg-deb", "--contents", cni], capture_output=True, text=True, check=True).stdout
    assert "./opt/cni/bin/bridge" in listed


def fill(artifact: Artifact, names: tuple[str, ...]) -> None:
    artifact.path.mkdir(parents=True)
    for name in names:
        (artifact.path / name).write_text(name)
        (artifact.path / name).chmod(0o755)
