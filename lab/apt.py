"""Debian's packages for any suite and architecture, fetched by apt itself in a root directory of its own.

apt verifies what it fetches by the archive's signature, resolves dependencies, and never sees this machine's own state.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.artifact import Builder, BuildError
from lab.command import run
from lab.versions import HOST_SUITE

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""Debian's keys, from its package debian-archive-keyring."""
_FETCH_SECONDS: Final = 1800
_UNPACK_SECONDS: Final = 300


def mirror() -> str:
    """The address of the Debian archive that this machine itself installs from.

    Returns:
        ``$Q8S_APT_MIRROR`` where set, else the first archive of the hosts' suite in apt's own configuration. It is used
        for building only and is never written into what is built.

    Raises:
        BuildError: apt knows no archive of the suite.
    """
    found = os.environ.get("Q8S_APT_MIRROR") or _archive_of(HOST_SUITE)
    if not found:
        message = (
            f"apt on this machine knows no archive of Debian {HOST_SUITE}: "
            "set Q8S_APT_MIRROR to one, or run `apt-get update` first"
        )
        raise BuildError(message)
    return found


def security_mirror() -> str | None:
    """The archive of security updates: ``$Q8S_APT_SECURITY_MIRROR``, else apt's own; None where apt has none."""
    return os.environ.get("Q8S_APT_SECURITY_MIRROR") or _archive_of(f"{HOST_SUITE}-security")


def _archive_of(suite: str) -> str | None:
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {suite}"]
    done = run(*words, limit=60, check=False)
    return done.stdout.split()[0].rstrip("/") if done.stdout.strip() else None


def suites(codename: str) -> tuple[str, ...]:
    """The sources of a Debian release with its updates, and security updates where their archive is known.

    Returns:
        Lines of a ``sources.list``.
    """
    main = [_line(mirror(), codename), _line(mirror(), f"{codename}-updates")]
    security = security_mirror()
    return (*main, *([_line(security, f"{codename}-security")] if security else []))


def backports(codename: str) -> str:
    """The source of a release's backports, as a line of a ``sources.list``."""
    return _line(mirror(), f"{codename}-backports")


def _line(uri: str, suite: str) -> str:
    return f"deb [signed-by={KEYRING}] {uri} {suite} main"


@dataclass(frozen=True)
class PrivateApt:
    """An apt that has its own lists, cache and (empty) record of installed packages.

    Attributes:
        root: directory of its own; filled by :meth:`update`.
        architecture: Debian's name of the only architecture it knows.
        builder: what runs the commands and keeps their log.
    """

    root: Path
    architecture: str
    builder: Builder

    def update(self, sources: Sequence[str], preferences: str = "") -> None:
        """Fetch and verify the package lists.

        Args:
            sources: lines of a ``sources.list``.
            preferences: which source each package is to come from, as apt_preferences(5) has it.

        Raises:
            BuildError: a source is unreachable, or its signature is not by a key it names.
        """
        for folder in (
            *("etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d"),
            *("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"),
        ):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "var/lib/dpkg/status").write_text("")
        (self.root / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in sources))
        (self.root / "etc/apt/preferences").write_text(preferences)
        self._conf.write_text(
            f'Dir "{self.root}";\n'
            f'Dir::State::status "{self.root}/var/lib/dpkg/status";\n'
            f'APT::Architecture "{self.architecture}";\n'
            f'APT::Architectures {{ "{self.architecture}"; }};\n'
            # The sandbox user of apt cannot enter a directory that only its owner may read.
            'APT::Sandbox::User "root";\n'
            'APT::Install-Recommends "false";\n'
            'Acquire::Languages "none";\n'
            'Acquire::Retries "3";\n'
        )
        self._run("apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update")

    def download_closure(self, packages: Sequence[str]) -> list[Path]:
        """Download packages with all that they depend on, as for an empty system.

        Args:
            packages: names as ``apt-get install`` takes them.

        Returns:
            The packages' files, of this and earlier downloads.

        Raises:
            BuildError: a package is unknown, dependencies cannot be met, or a download failed its checksum.
        """
        self._run("apt-get", "-q", "-y", "--download-only", "install", *packages)
        return self._archives()

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Download just these packages; the same errors as :meth:`download_closure`."""
        folder = self.root / "downloads"
        folder.mkdir(exist_ok=True)
        environment = {"APT_CONFIG": str(self._conf)}
        self.builder.run("apt-get", "-q", "download", *packages, cwd=folder, env=environment, limit=_FETCH_SECONDS)
        return sorted(folder.glob("*.deb"))

    def _archives(self) -> list[Path]:
        return sorted((self.root / "var/cache/apt/archives").glob("*.deb"))

    @property
    def _conf(self) -> Path:
        return self.root / "apt.conf"

    def _run(self, *command: str) -> None:
        environment = {"APT_CONFIG": str(self._conf), "DEBIAN_FRONTEND": "noninteractive"}
        self.builder.run(*command, env=environment, limit=_FETCH_SECONDS)


def unpack(builder: Builder, packages: Sequence[Path], tree: Path) -> None:
    """Unpack packages of any architecture into a directory; nothing of them is run."""
    tree.mkdir(parents=True, exist_ok=True)
    for package in packages:
        builder.run("dpkg-deb", "-x", package, tree, limit=_UNPACK_SECONDS)
