"""Keys and foreign packages as ``hostscripts/apt.sh`` takes them: with real keys, gpg, curl, dpkg and apt."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.unit.hostscript import LIMIT, Keys, apt_get, step


def taken(folder: Path, pin: str, content: bytes, name: str = "") -> subprocess.CompletedProcess[str]:
    """What becomes of a key's file that has this content, with this pin in ``apt/keys``."""
    (folder / "download.asc").write_bytes(content)
    (folder / "apt").mkdir(exist_ok=True)
    (folder / "apt" / "keys").write_text(f"{pin} file://{folder}/download.asc {name}".rstrip() + "\n")
    return step(folder, "apt_keys")


def placed(folder: Path) -> list[Path]:
    return sorted((folder / "keyrings").iterdir())


def fingerprints(keys: Keys, file: Path) -> set[str]:
    """Of all keys and subkeys in a file."""
    lines = keys.gpg("--with-colons", "--show-keys", file).decode().splitlines()
    return {line.split(":")[9] for line in lines if line.startswith("fpr:")}


def test_a_key_of_the_right_fingerprint_is_taken(tmp_path: Path, keys: Keys) -> None:
    wanted = keys.fingerprint("publisher")
    for _ in ("the first time", "again"):
        done = taken(tmp_path, wanted, keys.file("publisher"), "q8s-key.asc")
        assert done.returncode == 0, done.stderr
        (file,) = placed(tmp_path)
        assert file.name == "q8s-key.asc"
        assert fingerprints(keys, file) == {wanted}
        assert file.stat().st_mode & 0o777 == 0o644
        assert not list(tmp_path.glob("key.*"))


def test_a_key_whose_expiry_was_extended_is_the_same_key(tmp_path: Path, keys: Keys) -> None:
    wanted = keys.fingerprint("successor")
    before = keys.file("successor")
    assert taken(tmp_path, wanted, before, "q8s-key.asc").returncode == 0
    keys.gpg("--pinentry-mode", "loopback", "--passphrase", "", "--quick-set-expire", wanted, "9y")
    extended = keys.file("successor")
    assert extended != before
    assert taken(tmp_path, wanted, extended, "q8s-key.asc").returncode == 0
    assert placed(tmp_path)[0].read_bytes() == extended


def test_another_key_is_refused(tmp_path: Path, keys: Keys) -> None:
    done = taken(tmp_path, keys.fingerprint("publisher"), keys.file("foreign"), "q8s-key.asc")
    assert done.returncode != 0
    assert f"wrong key at file://{tmp_path}/download.asc: {keys.fingerprint('foreign')} is there" in done.stderr
    assert keys.fingerprint("publisher") in done.stderr
    assert not placed(tmp_path)


@pytest.mark.parametrize("apart", [False, True], ids=["in one block", "in a block of its own"])
def test_a_file_with_a_foreign_key_beside_the_right_one_is_refused(tmp_path: Path, keys: Keys, *, apart: bool) -> None:
    names = ("publisher", "foreign")
    content = b"".join(map(keys.file, names)) if apart else keys.file(*names)
    done = taken(tmp_path, keys.fingerprint("publisher"), content, "q8s-key.asc")
    assert done.returncode != 0
    assert f"{keys.fingerprint('foreign')} is there" in done.stderr
    assert not placed(tmp_path)


def test_a_refused_key_leaves_the_one_that_is_there(tmp_path: Path, keys: Keys) -> None:
    wanted = keys.fingerprint("publisher")
    assert taken(tmp_path, wanted, keys.file("publisher"), "q8s-key.asc").returncode == 0
    assert taken(tmp_path, wanted, keys.file("publisher", "foreign"), "q8s-key.asc").returncode != 0
    assert fingerprints(keys, placed(tmp_path)[0]) == {wanted}


def test_each_of_several_keys_may_be_allowed(tmp_path: Path, keys: Keys) -> None:
    wanted = {keys.fingerprint("publisher"), keys.fingerprint("successor")}
    done = taken(tmp_path, ",".join(wanted), keys.file("publisher", "successor"), "q8s-key.asc")
    assert done.returncode == 0, done.stderr
    assert fingerprints(keys, placed(tmp_path)[0]) == wanted


@pytest.mark.parametrize("content", ["nothing", "a page", "a signature", "a secret key"])
def test_what_is_no_public_key_is_refused(tmp_path: Path, keys: Keys, content: str) -> None:
    page = tmp_path / "page"
    page.write_text("<html>no such page</html>\n")
    unlocked = ("--pinentry-mode", "loopback", "--passphrase", "")
    found = {
        "nothing": lambda: b"",
        "a page": page.read_bytes,
        "a signature": lambda: keys.gpg("--armor", "--output", "-", "--detach-sign", page),
        "a secret key": lambda: keys.gpg(*unlocked, "--armor", "--export-secret-keys", "publisher"),
    }
    done = taken(tmp_path, keys.fingerprint("publisher"), found[content](), "q8s-key.asc")
    assert done.returncode != 0
    assert "no OpenPGP public key" in done.stderr
    assert not placed(tmp_path)


def test_a_part_of_a_fingerprint_allows_nothing(tmp_path: Path, keys: Keys) -> None:
    done = taken(tmp_path, keys.fingerprint("publisher")[-16:], keys.file("publisher"), "q8s-key.asc")
    assert done.returncode != 0
    assert not placed(tmp_path)


def test_a_key_file_of_the_right_checksum_is_taken_as_it_is(tmp_path: Path, keys: Keys) -> None:
    content = keys.file("publisher", "foreign")
    pin = hashlib.sha256(content).hexdigest()
    done = taken(tmp_path, pin, content)
    assert done.returncode == 0, done.stderr
    (file,) = placed(tmp_path)
    assert (file.name, file.read_bytes()) == (f"q8s-{pin[:12]}.asc", content)


def test_a_key_file_of_another_checksum_is_refused(tmp_path: Path, keys: Keys) -> None:
    done = taken(tmp_path, hashlib.sha256(b"another").hexdigest(), keys.file("publisher"))
    assert done.returncode != 0
    assert "wrong checksum" in done.stderr
    assert not [file for file in placed(tmp_path) if file.suffix == ".asc"]


def repository(folder: Path, keys: Keys, signer: str) -> Path:
    """A package repository with one package, signed."""
    tree, there = folder / "tree", folder / "repository"
    (tree / "DEBIAN").mkdir(parents=True)
    there.mkdir()
    (tree / "DEBIAN" / "control").write_text(
        "Package: q8s-probe\nVersion: 1\nArchitecture: arm64\nMaintainer: Q8S\nDescription: a probe\n"
    )
    (tree / "probe").write_text("here\n")
    package = there / "q8s-probe.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], check=True, timeout=LIMIT)
    content = package.read_bytes()
    packages = (
        f"{(tree / 'DEBIAN' / 'control').read_text()}Filename: ./{package.name}\nSize: {len(content)}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
    ).encode()
    (there / "Packages").write_bytes(packages)
    (there / "Release").write_text(
        "Date: Thu, 01 Jan 2026 00:00:00 UTC\n"
        f"SHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} Packages\n"
    )
    keys.gpg("--local-user", signer, "--output", there / "InRelease", "--clearsign", there / "Release")
    return there


@pytest.mark.parametrize("signer", ["publisher", "foreign"])
def test_foreign_packages_are_unpacked_if_the_installed_keyring_has_their_key(
    tmp_path: Path, keys: Keys, signer: str
) -> None:
    assert taken(tmp_path, keys.fingerprint("publisher"), keys.file("publisher"), "q8s-key.asc").returncode == 0
    sources, keyring = tmp_path / "apt" / "guest", tmp_path / "archive.asc"
    sources.mkdir()
    (sources / "q8s-0.sources").write_text(
        f"Types: deb\nURIs: file://{repository(tmp_path, keys, signer)}\nSuites: ./\nSigned-By: {keyring}\n"
    )
    (tmp_path / "apt" / "keyrings").write_text(f"archive-keyring {keyring}\n")
    install = f"apt_try_install() {{ [[ $* = archive-keyring ]] && cp keyrings/q8s-key.asc {keyring}; }}"
    foreign = f"apt_foreign {tmp_path}/root arm64 {sources} {tmp_path}/unpacked q8s-probe"
    done = step(tmp_path, "eval", f"{install}; {foreign}")
    assert (done.returncode == 0) == (signer == "publisher"), done.stderr
    assert (tmp_path / "unpacked" / "probe").exists() == (signer == "publisher")
    assert ("NO_PUBKEY" in done.stdout + done.stderr) == (signer == "foreign")


def test_gpg_is_installed_where_the_image_has_none_even_if_some_sources_lack_their_key(tmp_path: Path) -> None:
    run, words = apt_get(tmp_path, "[[ ${@: -1} != update ]]")
    done = step(tmp_path, run, f"{words} apt_gpg")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text().split() == ["update", "gpg"]


def test_gpg_is_not_installed_for_keys_by_checksum(tmp_path: Path, keys: Keys) -> None:
    pin = hashlib.sha256(keys.file("publisher")).hexdigest()
    assert taken(tmp_path, pin, keys.file("publisher")).returncode == 0
    run, words = apt_get(tmp_path)
    done = step(tmp_path, run, f"apt_gpg() {{ {words} apt-get gpg; }}; apt_keys")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("there", [False, True], ids=["missing", "there"])
def test_an_archive_keyring_is_installed_where_the_host_has_none(tmp_path: Path, *, there: bool) -> None:
    keyring = tmp_path / "archive.gpg"
    if there:
        keyring.write_text("keys\n")
    (tmp_path / "apt").mkdir()
    (tmp_path / "apt" / "keyrings").write_text(f"archive-keyring {keyring}\n")
    run, words = apt_get(tmp_path, f"echo keys >{keyring}")
    done = step(tmp_path, run, f"{words} apt_archive_keyrings")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").exists() != there


def test_a_package_without_its_keyring_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "apt").mkdir()
    (tmp_path / "apt" / "keyrings").write_text(f"archive-keyring {tmp_path}/archive.gpg\n")
    run, words = apt_get(tmp_path)
    done = step(tmp_path, run, f"{words} apt_archive_keyrings")
    assert done.returncode != 0
    assert "give sources.guestApt a keyUrl" in done.stderr


def test_a_keyring_that_no_source_has_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    run, words = apt_get(tmp_path, "exit 100")
    done = step(tmp_path, run, f"{words} apt_keyring archive-keyring {tmp_path}/archive.gpg 'give another'")
    assert done.returncode != 0
    assert f"cannot install archive-keyring, which has {tmp_path}/archive.gpg: give another" in done.stderr


def test_a_step_without_keyrings_installs_none(tmp_path: Path) -> None:
    run, words = apt_get(tmp_path)
    assert step(tmp_path, run, f"{words} apt_archive_keyrings").returncode == 0
    assert not (tmp_path / "asked").exists()
