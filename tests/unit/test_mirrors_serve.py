"""The mirrors' servers, started on the loopback address over small stand-ins for what they serve."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab import images as guests
from lab.mirrors import authority, debian, facts, images, kubernetes, signing
from lab.mirrors.oci import Image, Layer, write_layout
from lab.mirrors.registry import configuration, running
from lab.mirrors.serve import IMAGES_PATH, KUBERNETES_PATH, Mirrors
from lab.services import accepts, wait_until

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])


def get(url: str, method: str = "GET") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


@pytest.fixture
def mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirrors:
    monkeypatch.setenv("Q8S_CACHE", str(tmp_path / "cache"))
    for artifact, name in ((debian.DEBIAN, "debian/dists/trixie/InRelease"), (kubernetes.PACKAGES, "InRelease"),
                           (signing.KEY, signing.PUBLIC_KEY), (signing.KEY, "secret.asc")):  # fmt: skip
        (artifact.path / name).parent.mkdir(parents=True, exist_ok=True)
        (artifact.path / name).write_text(name)
    authority.AUTHORITIES.ensure()
    images.IMAGES.path.mkdir(parents=True)
    guests = tuple(tmp_path / name for name in ("amd64", "arm64", "published"))
    for folder in guests:
        folder.mkdir()
        (folder / f"q8s-{folder.name}.qcow2").write_text(folder.name)
        digest = hashlib.sha256(folder.name.encode()).hexdigest()
        (folder / "SHA256SUMS").write_text(f"{digest}  q8s-{folder.name}.qcow2\n")
    return Mirrors(LOOPBACK, free_port(), free_port(), free_port(), free_port(), tmp_path / "run", guests)


@pytest.fixture
def served(mirrors: Mirrors, tmp_path: Path) -> Iterator[Mirrors]:
    """The servers run as the supervisor would run them."""
    program = tmp_path / "pause"
    program.write_text("pause")
    layers = {"amd64": [Layer(files={"pause": program})], "arm64": [Layer(files={"pause": program})]}
    write_layout(Image(layers), tmp_path / "layout")
    with running(images.IMAGES.path, tmp_path / "log") as address:
        copy = ("skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false")
        subprocess.run([*copy, f"oci:{tmp_path / 'layout'}", f"docker://{address}/pause:1"], check=True)
    mirrors.write()
    with (tmp_path / "servers.log").open("w") as log, ExitStack() as started:
        for program in mirrors.programs():
            words = [str(word) for word in program.command]
            process = subprocess.Popen(words, stdout=log, stderr=log)
            started.callback(process.wait, timeout=20)
            started.callback(process.terminate)
        for port in (mirrors.port, mirrors.registry_port, mirrors.tls_port, mirrors.name_port):
            wait_until(f"port {port}", lambda port=port: accepts(LOOPBACK, port), seconds=20)
        yield mirrors


def by_name(served: Mirrors, url: str) -> str:
    """What curl gets for a public server's URL, with the lab's authority as the only one; it goes where it is sent."""
    mirror = f"{LOOPBACK}:{served.tls_port}"
    resolved = [word for name in authority.NAMES for word in ("--connect-to", f"{name}:443:{mirror}")]
    trusted = ("--cacert", str(authority.AUTHORITIES.path / authority.AUTHORITY))
    command = ("curl", "-fsSL", "--noproxy", "*", "--max-time", "10", *trusted, *resolved, url)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_originals_names_are_served_over_tls(served: Mirrors) -> None:
    expected = "debian/dists/trixie/InRelease"
    assert by_name(served, f"https://deb.debian.org/{expected}") == expected
    assert by_name(served, f"https://cloud.debian.org/{IMAGES_PATH}/q8s-arm64.qcow2") == "arm64"
    # As the original does, this one sends its clients elsewhere.
    packages = f"https://pkgs.k8s.io/{KUBERNETES_PATH.removeprefix('kubernetes/')}"
    assert by_name(served, f"{packages}/InRelease") == "InRelease"
    assert by_name(served, f"{packages}/Release.key") == signing.PUBLIC_KEY
    for registry in authority.REGISTRIES:
        assert "1" in json.loads(by_name(served, f"https://{registry}/v2/pause/tags/list"))["tags"]


def test_nothing_else_is_below_a_name(served: Mirrors) -> None:
    for url in ("https://deb.debian.org/keys/q8s-lab.asc", f"https://prod-cdn.packages.k8s.io/{KUBERNETES_PATH}/"):
        with pytest.raises(subprocess.CalledProcessError, match="22"):
            by_name(served, url)


def test_only_the_owner_reads_the_authoritys_keys(mirrors: Mirrors) -> None:
    folder = authority.AUTHORITIES.path
    keys = [file for file in folder.iterdir() if "PRIVATE KEY" in file.read_text()]
    assert len(keys) == 2
    assert all(file.stat().st_mode & 0o077 == 0 for file in keys)
    assert not [link for link in mirrors.directory.rglob("*") if link.resolve().parent == folder]


def test_everything_is_served_where_the_originals_have_it(served: Mirrors) -> None:
    base = f"http://{LOOPBACK}:{served.port}"
    assert get(f"{base}/debian/dists/trixie/InRelease") == (200, b"debian/dists/trixie/InRelease")
    assert get(f"{base}/{KUBERNETES_PATH}/InRelease") == (200, b"InRelease")
    assert get(f"{base}/keys/{signing.PUBLIC_KEY}")[0] == 200
    assert get(f"{base}/images/q8s-arm64.qcow2") == (200, b"arm64")
    sums = dict(reversed(line.split()) for line in get(f"{base}/images/SHA256SUMS")[1].decode().splitlines())
    assert sums["q8s-amd64.qcow2"] == hashlib.sha256(b"amd64").hexdigest()
    assert len(sums) == 3


def test_the_secret_key_is_not_served_and_nothing_is_taken(served: Mirrors) -> None:
    base = f"http://{LOOPBACK}:{served.port}"
    assert get(f"{base}/keys/secret.asc")[0] == 404
    assert get(f"{base}/keys/{signing.PUBLIC_KEY}", "PUT")[0] in {403, 405}
    assert get(f"http://{LOOPBACK}:{served.registry_port}/v2/pause/blobs/uploads/", "POST")[0] == 405


def test_the_registry_answers_as_containerd_asks_a_mirror(served: Mirrors) -> None:
    """With the original's host in ``ns``, and an index for all architectures."""
    url = f"http://{LOOPBACK}:{served.registry_port}/v2/pause/manifests/1?ns=registry.k8s.io"
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.oci.image.index.v1+json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
        body = answer.read()
        assert answer.headers["Docker-Content-Digest"] == f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert b"arm64" in body


def test_writing_again_leaves_no_link_to_what_is_gone(mirrors: Mirrors) -> None:
    mirrors.write()
    (mirrors.guest_images[1] / "q8s-arm64.qcow2").unlink()
    mirrors.write()
    there = {file.name for file in (mirrors.root / "site/images").glob("*.qcow2")}
    assert there == {"q8s-amd64.qcow2", "q8s-published.qcow2"}


def test_the_configuration_says_read_only(tmp_path: Path) -> None:
    assert "enabled: true" in configuration(tmp_path, LOOPBACK, 5001, read_only=True).split("readonly:")[1]


def test_facts_are_of_what_is_served(mirrors: Mirrors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, artifact in zip(mirrors.guest_images, guests.ARTIFACTS, strict=True):
        artifact.path.parent.mkdir(parents=True)
        folder.rename(artifact.path)
    shutil.rmtree(signing.KEY.path)
    signing.KEY.ensure()
    known = facts.facts()
    shown = subprocess.run(
        ["gpg", "--show-keys", signing.KEY.path / signing.PUBLIC_KEY], capture_output=True, text=True, check=True
    )
    assert known.key_fingerprint in shown.stdout
    assert known.images["q8s-arm64.qcow2"] == hashlib.sha256(b"arm64").hexdigest()
    monkeypatch.setenv("Q8S_CACHE", str(tmp_path / "empty"))
    with pytest.raises(facts.BuildError, match="make lab"):
        facts.facts()
