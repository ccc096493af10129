"""The mirrors' servers, started on the loopback address over small stand-ins for what they serve."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.mirrors import debian, facts, images, kubernetes, signing
from lab.mirrors.oci import Image, Layer, write_layout
from lab.mirrors.registry import configuration, running
from lab.mirrors.serve import KUBERNETES_PATH, Mirrors
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
    for artifact, name in ((debian.DEBIAN, "dists/trixie/InRelease"), (kubernetes.PACKAGES, "InRelease"),
                           (signing.KEY, signing.PUBLIC_KEY), (signing.KEY, "secret.asc")):  # fmt: skip
        (artifact.path / name).parent.mkdir(parents=True, exist_ok=True)
        (artifact.path / name).write_text(name)
    images.IMAGES.path.mkdir(parents=True)
    guests = {name: tmp_path / name for name in ("amd64", "arm64")}
    for name, folder in guests.items():
        folder.mkdir()
        (folder / f"q8s-guest-{name}.qcow2").write_text(name)
        (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(name.encode()).hexdigest()}  q8s-guest-{name}.qcow2\n")
    return Mirrors(LOOPBACK, free_port(), free_port(), tmp_path / "run", guests)


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
    with (tmp_path / "servers.log").open("w") as log:
        started = [
            subprocess.Popen([str(word) for word in program.command], stdout=log, stderr=log)
            for program in mirrors.programs()
        ]
    try:
        for port in (mirrors.port, mirrors.registry_port):
            wait_until(f"port {port}", lambda port=port: accepts(LOOPBACK, port), seconds=20)
        yield mirrors
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=20)


def test_everything_is_served_where_the_originals_have_it(served: Mirrors) -> None:
    base = f"http://{LOOPBACK}:{served.port}"
    assert get(f"{base}/debian/dists/trixie/InRelease") == (200, b"dists/trixie/InRelease")
    assert get(f"{base}/{KUBERNETES_PATH}/InRelease") == (200, b"InRelease")
    assert get(f"{base}/keys/{signing.PUBLIC_KEY}")[0] == 200
    assert get(f"{base}/images/q8s-guest-arm64.qcow2") == (200, b"arm64")
    sums = dict(reversed(line.split()) for line in get(f"{base}/images/SHA256SUMS")[1].decode().splitlines())
    assert sums["q8s-guest-amd64.qcow2"] == hashlib.sha256(b"amd64").hexdigest()
    assert len(sums) == 2


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
    (mirrors.guest_images["arm64"] / "q8s-guest-arm64.qcow2").unlink()
    mirrors.write()
    assert [file.name for file in (mirrors.root / "images").glob("*.qcow2")] == ["q8s-guest-amd64.qcow2"]


def test_the_configuration_says_read_only(tmp_path: Path) -> None:
    assert "enabled: true" in configuration(tmp_path, LOOPBACK, 5001, read_only=True).split("readonly:")[1]


def test_facts_are_the_checksums_of_what_is_served(
    mirrors: Mirrors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for architecture, artifact in facts.GUEST_IMAGES.items():
        artifact.path.parent.mkdir(parents=True)
        mirrors.guest_images[architecture].rename(artifact.path)
    known = facts.facts()
    assert known.key_sha256 == hashlib.sha256(signing.PUBLIC_KEY.encode()).hexdigest()
    assert known.images["arm64"] == hashlib.sha256(b"arm64").hexdigest()
    monkeypatch.setenv("Q8S_CACHE", str(tmp_path / "empty"))
    with pytest.raises(facts.BuildError, match="make lab"):
        facts.facts()
