"""A partial mirror of Debian: what hosts and guests install, with all that it depends on, signed by the lab's key.

The packages are Debian's own, as the archive has them on the day of the build; apt verified them when it fetched them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lab import apt
from lab.artifact import Artifact, Builder
from lab.mirrors import signing
from lab.versions import GUEST_SUITE, HOST_SUITE

ORIGIN: Final = "Q8S lab"
_COMPONENT: Final = "main"
_QEMU: Final = ("qemu-system-x86", "qemu-system-arm", "qemu-utils")
_CONTAINERS: Final = ("containerd", "runc", "conntrack", "ethtool", "socat", "iptables", "ebtables")
_HOST: Final = (
    *("libvirt-daemon-system", "libvirt-clients", "libvirt-daemon-driver-qemu", "libvirt-daemon-config-network"),
    *(*_QEMU, "qemu-efi-aarch64", "ovmf", "seabios", "ipxe-qemu", "dnsmasq-base"),
    *(*_CONTAINERS, "nftables", "e2fsprogs", "genisoimage", "xorriso", "jq", "curl", "gnupg", "ca-certificates"),
    *("python3", "openssl", "haproxy"),
)
# What the hosts take from backports: a newer QEMU emulates considerably faster.
# Only this: else its closure would bring a newer libudev1, which no longer fits the release's udev.
_PREFERENCES: Final = f"Package: src:qemu src:seabios\nPin: release n={HOST_SUITE}-backports\nPin-Priority: 990\n"
_BACKPORT_MARK: Final = "~bpo"


def _build(builder: Builder) -> None:
    with tempfile.TemporaryDirectory(prefix="q8s-apt-") as work:
        host = apt.PrivateApt(Path(work, "host"), "amd64", builder)
        host.update(apt.suites(HOST_SUITE))
        _file(builder, host.download_closure(_HOST), HOST_SUITE, "amd64")

        newer = apt.PrivateApt(Path(work, "backports"), "amd64", builder)
        newer.update((*apt.suites(HOST_SUITE), apt.backports(HOST_SUITE)), _PREFERENCES)
        files = newer.download_closure(_HOST)
        # What the backports need of the release itself belongs into the release's suite.
        backported = [file for file in files if _BACKPORT_MARK in file.name]
        _file(builder, backported, f"{HOST_SUITE}-backports", "amd64")
        _file(builder, [file for file in files if file not in backported], HOST_SUITE, "amd64")

        for architecture in ("amd64", "arm64"):
            guest = apt.PrivateApt(Path(work, f"guest-{architecture}"), architecture, builder)
            guest.update(apt.suites(GUEST_SUITE))
            _file(builder, guest.download_closure(_CONTAINERS), GUEST_SUITE, architecture)

    # No NotAutomatic as Debian's backports have it: the hosts are to get the newest version without asking for it.
    for suite, architectures in SUITES.items():
        _publish(builder, suite, architectures)


SUITES: Final = {
    HOST_SUITE: ("amd64",),
    f"{HOST_SUITE}-backports": ("amd64",),
    GUEST_SUITE: ("amd64", "arm64"),
}
"""Suites and their architectures."""


def _file(builder: Builder, files: Sequence[Path], suite: str, architecture: str) -> None:
    pool = builder.out / "pool" / suite / architecture
    pool.mkdir(parents=True, exist_ok=True)
    for file in files:
        # apt writes the epoch into its file names, percent-encoded; a pool's names have none.
        name, version, rest = file.name.split("_")
        shutil.copyfile(file, pool / f"{name}_{version.rpartition('%3a')[2]}_{rest}")


def _publish(builder: Builder, suite: str, architectures: Sequence[str]) -> None:
    directory = builder.out / "dists" / suite
    for architecture in architectures:
        signing.index(
            builder,
            directory / _COMPONENT / f"binary-{architecture}",
            {},
            builder.out / "pool" / suite / architecture,
        )
    fields = {
        "Origin": ORIGIN,
        "Label": ORIGIN,
        "Suite": suite,
        "Codename": suite,
        "Architectures": " ".join(architectures),
        "Components": _COMPONENT,
    }
    signing.sign(builder, directory, fields)


DEBIAN: Final = Artifact(
    "debian-mirror",
    _build,
    pins=(HOST_SUITE, GUEST_SUITE),
    needs=(signing.KEY,),
    fetches=True,
)
"""A Debian repository: ``dists/`` and ``pool/``."""

ARTIFACTS: Final = (signing.KEY, DEBIAN)
