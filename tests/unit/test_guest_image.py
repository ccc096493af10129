"""A guest's image as ``hostscripts/guest-image.sh`` takes it: with real keys, gpgv, curl and an HTTP server."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.unit.hostscript import Keys, apt_get, step
from tests.unit.serving import served

NAME: Final = "ubuntu-24.04-server-cloudimg-arm64.img"
CONTENT: Final = b"an image"
GIVE: Final = "give the image's sha256 in guestImages"


@dataclass(frozen=True)
class Publisher:
    """A dated release that is served, and the host that takes an image from it."""

    keys: Keys
    host: Path
    release: Path
    url: str

    @property
    def sums(self) -> str:
        """Where the release's checksums are."""
        return f"{self.url}/SHA256SUMS"

    @property
    def keyring(self) -> Path:
        """The keyring on the host."""
        return self.host / "cloudimage-keyring.gpg"

    @property
    def image(self) -> Path:
        """The image on the host."""
        return self.host / "key.qcow2"

    def list(self, *lines: str, signer: str = "publisher") -> None:
        """Another SHA256SUMS, signed."""
        (self.release / "SHA256SUMS").write_text("".join(f"{line}\n" for line in lines))
        signed = ("--detach-sign", self.release / "SHA256SUMS")
        self.keys.gpg("--yes", "--local-user", signer, "--armor", "--output", self.release / "SHA256SUMS.gpg", *signed)

    def take(self) -> subprocess.CompletedProcess[str]:
        """The image, checked, on the host."""
        return step(self.host, "guest_image", f"{self.url}/{NAME}", self.image)

    def refused(self) -> str:
        """Why the host has no image."""
        done = self.take()
        assert done.returncode != 0
        assert not self.image.exists()
        assert "q8s: node node, layer host, step test: " in done.stderr
        return done.stderr


def line(content: bytes, name: str = NAME) -> str:
    return f"{hashlib.sha256(content).hexdigest()} *{name}"


@pytest.fixture
def publisher(tmp_path: Path, keys: Keys) -> Iterator[Publisher]:
    host, release = tmp_path / "host", tmp_path / "served" / "release-20260911"
    host.mkdir()
    release.mkdir(parents=True)
    with served(release.parent) as url:
        there = Publisher(keys, host, release, f"{url}/{release.name}")
        there.keyring.write_bytes(keys.gpg("--export", "publisher"))
        (host / "image-keyring").write_text(f"cloudimage-keyring {there.keyring}\n")
        (release / NAME).write_bytes(CONTENT)
        there.list(line(b"another", f"{NAME}.manifest"), line(CONTENT), line(b"another", f"old-{NAME}"))
        yield there


def test_an_image_whose_checksum_is_signed_is_taken(publisher: Publisher) -> None:
    done = publisher.take()
    assert done.returncode == 0, done.stderr
    assert publisher.image.read_bytes() == CONTENT
    assert not list(publisher.host.glob("image.*"))


def test_an_image_that_is_there_is_kept_when_its_release_is_gone(publisher: Publisher) -> None:
    assert publisher.take().returncode == 0
    publisher.release.rename(publisher.release.parent / "gone")
    done = publisher.take()
    assert done.returncode == 0, done.stderr
    assert publisher.image.read_bytes() == CONTENT


def test_an_image_that_is_there_and_damaged_is_taken_anew(publisher: Publisher) -> None:
    assert publisher.take().returncode == 0
    publisher.image.write_bytes(b"damaged")
    assert publisher.take().returncode == 0
    assert publisher.image.read_bytes() == CONTENT


def test_an_image_of_another_checksum_is_refused(publisher: Publisher) -> None:
    (publisher.release / NAME).write_bytes(b"another")
    assert f"wrong checksum of {publisher.url}/{NAME}: expected {line(CONTENT).split()[0]}" in publisher.refused()


def test_checksums_that_are_not_those_that_were_signed_are_refused(publisher: Publisher) -> None:
    (publisher.release / NAME).write_bytes(b"another")
    (publisher.release / "SHA256SUMS").write_text(f"{line(b'another')}\n")
    assert f"bad signature: {publisher.sums} " in publisher.refused()


def test_a_signature_by_another_key_is_refused(publisher: Publisher) -> None:
    publisher.list(line(CONTENT), signer="foreign")
    told = publisher.refused()
    assert f"unknown key: {publisher.sums}.gpg is by none of those in {publisher.keyring}" in told
    assert GIVE in told


@pytest.mark.parametrize("content", ["", "<html>no such page</html>\n"], ids=["nothing", "a page"])
def test_what_is_no_signature_is_refused(publisher: Publisher, content: str) -> None:
    (publisher.release / "SHA256SUMS.gpg").write_text(content)
    assert f"no signature that gpgv can read at {publisher.sums}.gpg" in publisher.refused()


@pytest.mark.parametrize(
    "lines",
    [(), (line(CONTENT, f"old-{NAME}"),), (f"{'a' * 63} *{NAME}",), (line(CONTENT, NAME.replace(".", "x")),)],
    ids=["no line", "a longer name", "no checksum", "a similar name"],
)
def test_an_image_that_is_not_listed_is_refused(publisher: Publisher, lines: tuple[str, ...]) -> None:
    publisher.list(*lines)
    assert f"image not listed: {publisher.sums} has no checksum of {NAME}" in publisher.refused()


@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.gpg", NAME])
def test_a_file_that_is_missing_is_named(publisher: Publisher, name: str) -> None:
    (publisher.release / name).unlink()
    told = publisher.refused()
    assert f"cannot download {publisher.url}/{name}: " in told
    assert (GIVE in told) == (name != NAME)


def test_gpgv_and_the_keyring_are_installed_where_the_host_has_none(publisher: Publisher) -> None:
    keyring = publisher.keyring.rename(publisher.host / "packaged")
    gpgv = subprocess.run(["sh", "-c", "command -v gpgv"], check=True, capture_output=True, text=True).stdout.strip()
    programs = publisher.host / "programs"
    packages = f"gpgv) ln -s {gpgv} {programs} ;; cloudimage-keyring) cp {keyring} {publisher.keyring} ;;"
    run, _ = apt_get(publisher.host, f"PATH=/usr/bin:/bin\ncase ${{@: -1}} in {packages} esac")
    for name in ("awk", "curl", "mktemp", "mv", "rm", "sha256sum"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    done = step(publisher.host, run, f"PATH={programs}; guest_image {publisher.url}/{NAME} {publisher.image}")
    assert done.returncode == 0, done.stderr
    assert publisher.image.read_bytes() == CONTENT
    assert (publisher.host / "asked").read_text().split() == ["cloudimage-keyring", "gpgv"]


def test_a_host_that_cannot_have_the_keyring_says_what_to_give(publisher: Publisher) -> None:
    publisher.keyring.unlink()
    run, words = apt_get(publisher.host, "exit 100")
    done = step(publisher.host, run, f"{words} guest_image {publisher.url}/{NAME} {publisher.image}")
    assert done.returncode != 0
    assert f"cannot install cloudimage-keyring, which has {publisher.keyring}: {GIVE}" in done.stderr
