"""A partial copy of Debian's archive: what hosts and guests install, below the indices that Debian itself has signed.

The indices list the whole archive; of the packages, only those are there that are needed, with all that they depend on.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from lab import apt
from lab.architectures import GUESTS, suite
from lab.artifact import REPOSITORY, Artifact, Builder, BuildError
from lab.command import run
from lab.versions import HOST_SUITE

MAIN: Final = "debian"
"""Folder of the archive, as on its servers."""
SECURITY: Final = "debian-security"
"""Folder of the archive of security updates."""
PREFERENCES: Final = REPOSITORY / "lab/hosts/rootfs/etc/apt/preferences.d/q8s-lab-emulator"
"""What the hosts take from backports: a newer QEMU emulates considerably faster."""

_QEMU: Final = (
    *("qemu-system-x86", "qemu-system-arm", "qemu-system-riscv", "qemu-system-ppc", "qemu-system-s390x"),
    "qemu-utils",
)
_CONTAINERS: Final = ("containerd", "runc", "crun", "conntrack", "ethtool", "socat", "iptables", "ebtables")
# Of what each release calls the same; its hosts have guests of the architectures that every lab has.
_FURTHER_QEMU: Final = ("qemu-system-x86", "qemu-system-arm", "qemu-utils")
_HOST: Final = (
    *("libvirt-daemon-system", "libvirt-clients", "libvirt-daemon-driver-qemu", "libvirt-daemon-config-network"),
    *("qemu-efi-aarch64", "u-boot-qemu", "ovmf", "seabios", "ipxe-qemu", "dnsmasq-base"),
    *(*_CONTAINERS, "nftables", "e2fsprogs", "genisoimage", "xorriso", "jq", "curl", "gnupg", "ca-certificates"),
    *("python3", "openssl", "haproxy"),
)
# Of all that a Release lists: what apt fetches, in the form that it prefers. Debian 11 has translations as bz2 only.
_INDEX: Final = re.compile(
    r"^ (?P<sum>[0-9a-f]{64}) +[0-9]+ "
    r"(?P<path>main/(?:(?:binary-(?P<architecture>[a-z0-9]+)/Packages|source/Sources)\.xz"
    r"|i18n/Translation-en\.(?:xz|bz2)))$",
    re.MULTILINE,
)
_SECONDS: Final = 900
# Addresses, each with its folder here.
_Archives = Sequence[tuple[str, str]]


def _build(architectures: Sequence[str], builder: Builder, *, hosts: str | None) -> None:
    # Once: who names them is apt.
    archives = tuple(_archives())
    with tempfile.TemporaryDirectory(prefix="q8s-apt-") as work:
        # Releases with who has seen their list, and of which architectures.
        seen: dict[str, tuple[apt.PrivateApt, list[str]]] = {}
        if hosts:
            host = apt.PrivateApt(Path(work, "host"), "amd64", builder)
            own = hosts == HOST_SUITE
            backports = (apt.backports(hosts),) if own else ()
            host.update((*apt.suites(hosts), *backports), PREFERENCES.read_text() if own else "")
            _packages(host, archives, (*_HOST, *(_QEMU if own else _FURTHER_QEMU)))
            for part in ("", "-updates", "-security", *(("-backports",) if own else ())):
                seen[f"{hosts}{part}"] = host, ["amd64"]
        for architecture in architectures:
            guest = apt.PrivateApt(Path(work, f"guest-{architecture}"), architecture, builder)
            guest.update(apt.suites(suite(architecture))[:1])
            _packages(guest, archives, _CONTAINERS)
            _, before = seen.get(suite(architecture), (guest, []))
            seen[suite(architecture)] = guest, [*before, architecture]
        for release, (private, those) in seen.items():
            _indices(private, archives, release, those)


def _archives() -> Iterator[tuple[str, str]]:
    """The archives' addresses, each with its folder here."""
    if security := apt.security_mirror():
        yield f"{security}/", SECURITY
    yield f"{apt.mirror()}/", MAIN


def _packages(private: apt.PrivateApt, archives: _Archives, packages: Sequence[str]) -> None:
    """Packages with all that they depend on, each where the archive has it."""
    command = ("apt-get", "-q", "-y", "--print-uris", "--download-only", "install", *packages)
    environment = {**os.environ, "APT_CONFIG": str(private.root / "apt.conf")}
    listed = run(*command, limit=_SECONDS, env=environment).stdout
    places = {name: uri for uri, name in re.findall(r"^'([^']+)' (\S+) ", listed, re.MULTILINE)}
    for file in private.download_closure(packages):
        place = private.builder.out / _place(archives, places[file.name])
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


def _place(archives: _Archives, uri: str) -> str:
    for archive, folder in archives:
        if uri.startswith(archive):
            return f"{folder}/{unquote(uri.removeprefix(archive))}"
    raise BuildError(f"{uri} is in none of the archives that apt was told of")


def _indices(private: apt.PrivateApt, archives: _Archives, release: str, architectures: Sequence[str]) -> None:
    """A release's signed list, as apt has verified it, with the indices in it."""
    found = list((private.root / "var/lib/apt/lists").glob(f"*_dists_{release}_InRelease"))
    if not found:
        # Hosts have it among their own sources.
        raise BuildError(f"apt on this machine knows no archive with {release}: set Q8S_APT_SECURITY_MIRROR to one")
    archive, folder = next(each for each in archives if (each[1] == SECURITY) == release.endswith("-security"))
    directory = private.builder.out / folder / "dists" / release
    directory.mkdir(parents=True)
    shutil.copyfile(found[0], directory / "InRelease")
    for index in _INDEX.finditer(found[0].read_text()):
        if index["architecture"] in {None, *architectures}:
            # By the names that clients ask for first: the archive moves on, and these stay.
            plain = directory / index["path"]
            by_hash = plain.parent / "by-hash/SHA256" / index["sum"]
            by_hash.parent.mkdir(parents=True, exist_ok=True)
            uri = f"{archive}dists/{release}/{by_hash.relative_to(directory)}"
            private.builder.run(
                "/usr/lib/apt/apt-helper", "download-file", uri, by_hash, f"SHA256:{index['sum']}", limit=_SECONDS
            )
            plain.symlink_to(by_hash.relative_to(plain.parent))


def archive(name: str, architectures: Sequence[str], *, hosts: str | None = HOST_SUITE) -> Artifact:
    """A copy in folders :data:`MAIN` and, for hosts, :data:`SECURITY`, each with ``dists/`` and ``pool/``.

    Args:
        name: the artifact's.
        architectures: of the guests that it is for.
        hosts: release of the hosts that it is for as well; None where it is for guests only.
    """
    return Artifact(
        name,
        partial(_build, architectures, hosts=hosts),
        files=(PREFERENCES,),
        pins=(HOST_SUITE, str(hosts), *architectures, *map(suite, architectures)),
        fetches=True,
    )


DEBIAN: Final = archive("debian-archive", GUESTS)
