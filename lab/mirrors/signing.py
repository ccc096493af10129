"""The key that signs the lab's package repositories, and the repositories' signed index files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lab.artifact import Artifact, Builder
from lab.command import run

_TOOL_SECONDS: Final = 300
_IDENTITY: Final = "Q8S lab (package repositories of this machine's lab)"
PUBLIC_KEY: Final = "q8s-lab.asc"
_SECRET_KEY: Final = "secret.asc"
# The agent's sockets are in gpg's home, and a socket's path has at most 107 bytes (unix(7)): $TMPDIR may be longer.
_HOMES: Final = Path("/run")


@contextmanager
def _keyring(builder: Builder, *, imported: bool) -> Iterator[Mapping[str, str]]:
    """A throw-away home of gpg; its agent goes with it."""
    home = Path(tempfile.mkdtemp(prefix="q8s-gpg-", dir=_HOMES))
    env = {"GNUPGHOME": str(home)}
    try:
        if imported:
            builder.run("gpg", "--batch", "--quiet", "--import", KEY.path / _SECRET_KEY, env=env)
        yield env
    finally:
        run("gpgconf", "--homedir", home, "--kill", "all", check=False, limit=_TOOL_SECONDS)
        shutil.rmtree(home, ignore_errors=True)


def _build_key(builder: Builder) -> None:
    with _keyring(builder, imported=False) as env:
        gpg = ("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
        builder.run(*gpg, "--quick-generate-key", _IDENTITY, "ed25519", "sign", "never", env=env)
        secret = builder.out / _SECRET_KEY
        secret.touch(mode=0o600)
        builder.run(*gpg, "--yes", "--armor", "--output", secret, "--export-secret-keys", env=env)
        secret.chmod(0o600)
        builder.run(*gpg, "--armor", "--output", builder.out / PUBLIC_KEY, "--export", env=env)


KEY: Final = Artifact("apt-key", _build_key)
"""Holds :data:`PUBLIC_KEY` for clients; the secret half is readable by the owner only."""


def index(builder: Builder, directory: Path, fields: Mapping[str, str], pool: Path | None = None) -> None:
    """Write the package index of a repository's directory for one architecture.

    Args:
        builder: runs ``apt-ftparchive``.
        directory: where ``Packages`` and its compressed forms go; inside the repository ``builder.out``.
        fields: further settings of ``apt-ftparchive``, such as ``APT::FTPArchive::Architecture``.
        pool: where the packages are, ``directory`` itself unless given; file names are written relative to
            ``builder.out``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    settings = [word for name, value in fields.items() for word in ("-o", f"{name}={value}")]
    where = (pool or directory).relative_to(builder.out)
    packages = directory / "Packages"
    done = run("apt-ftparchive", *settings, "packages", where, cwd=builder.out, limit=_TOOL_SECONDS)
    packages.write_text(done.stdout)
    builder.run("gzip", "-9nkf", packages)
    builder.run("xz", "-kf", packages)


def sign(builder: Builder, directory: Path, fields: Mapping[str, str]) -> None:
    """Write and sign a directory's ``Release``: as ``InRelease``, and as ``Release.gpg`` beside it.

    Args:
        builder: runs the commands.
        directory: holds the indices that are to be listed.
        fields: the fields ``Suite``, ``Codename``, ``Architectures`` and so on.
    """
    settings = [word for name, value in fields.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    done = run("apt-ftparchive", *settings, "release", directory, limit=_TOOL_SECONDS)
    release = directory / "Release"
    release.write_text(done.stdout)
    with _keyring(builder, imported=True) as env:
        gpg = ("gpg", "--batch", "--quiet", "--yes", "--digest-algo", "SHA512")
        builder.run(*gpg, "--armor", "--detach-sign", "--output", directory / "Release.gpg", release, env=env)
        builder.run(*gpg, "--clearsign", "--output", directory / "InRelease", release, env=env)
