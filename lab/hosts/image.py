"""The host image: a Debian root file system that boots under systemd-nspawn as it would on a cloud's instance."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Final

from lab import apt, versions
from lab.artifact import Artifact, Builder
from lab.mirrors.authority import AUTHORITIES, AUTHORITY

APT_PACKAGES: Final = ("mmdebstrap", "systemd-container", "iproute2", "util-linux", "mount", "e2fsprogs", "lxcfs")
"""What the machine needs to build the image and to run hosts."""

_ROOTFS: Final = Path(__file__).with_name("rootfs")
_IMAGE_PACKAGES: Final = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "openssh-server",
    "sudo",
    "cloud-init",
    "iproute2",
    "iputils-ping",
    "iptables",
    "ca-certificates",
    "curl",
    "gnupg",
    "python3-minimal",
    "procps",
    "kmod",
    "netbase",
    "less",
    "netcat-openbsd",
)
# Installed systems have a merged /usr, which later releases see to by themselves.
_FURTHER_PACKAGES: Final = {"bullseye": ("usrmerge",)}
# Device nodes and disks are the machine's.
_MASKED_UNITS: Final = (
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    # Without the control groups' notices its end is not seen, and the next login waits two minutes for it.
    "user@.service",
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
)
# Else the host would change the owner and mode of the machine's device nodes that are bound into it.
_MASKED_TMPFILES: Final = ("static-nodes-permissions.conf",)


def _build(suite: str, builder: Builder) -> None:
    root = builder.out
    # What the caller's Python is told not to do must not reach the packages' own scripts.
    clean = ("env", "-u", "PYTHONDONTWRITEBYTECODE", "-u", "PYTHONHOME", "-u", "PYTHONPATH")
    packages = ",".join((*_IMAGE_PACKAGES, *_FURTHER_PACKAGES.get(suite, ())))
    mmdebstrap = ("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={packages}")
    # Not debootstrap: it does not resolve the virtual packages that cloud-init's dependencies name.
    builder.run(*clean, *mmdebstrap, suite, root, *apt.suites(suite))
    _strip(root)
    shutil.copytree(_ROOTFS, root, dirs_exist_ok=True, symlinks=True)
    if suite != versions.HOST_SUITE:
        _move(root / "etc/apt", suite)
    _mask(root)
    _write(root)
    _trust(builder, root)
    builder.run("systemctl", f"--root={root}", "enable", "q8s-lab-host.service")


def _strip(root: Path) -> None:
    """Remove what is this machine's or this build's: archive address, package lists, host keys, identities."""
    for pattern in ("etc/ssh/ssh_host_*", "var/cache/apt/archives/*.deb", "var/lib/apt/lists/*", "var/log/*.log"):
        for path in root.glob(pattern):
            if path.is_file():
                path.unlink()
    for name in ("etc/apt/sources.list", "etc/machine-id"):
        (root / name).write_text("")
    for source in (root / "etc/apt/sources.list.d").iterdir():
        source.unlink()


def _move(configuration: Path, suite: str) -> None:
    """Package sources of another release; not its backports, which only the lab's own QEMU comes from."""
    sources = configuration / "sources.list.d/debian.sources"
    text = sources.read_text().replace(f" {versions.HOST_SUITE}-backports", "")
    sources.write_text(text.replace(versions.HOST_SUITE, suite))
    (configuration / "preferences.d/q8s-lab-emulator").unlink()


def _mask(root: Path) -> None:
    for folder, names in (("etc/systemd/system", _MASKED_UNITS), ("etc/tmpfiles.d", _MASKED_TMPFILES)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            link = root / folder / name
            link.unlink(missing_ok=True)
            link.symlink_to("/dev/null")


def _write(root: Path) -> None:
    (root / "etc/hostname").write_text("localhost\n")
    resolv = root / "etc/resolv.conf"
    resolv.unlink(missing_ok=True)
    resolv.write_text(f"nameserver {versions.HOST_NAMESERVER}\n")
    (root / "etc/default/locale").write_text("LANG=C.UTF-8\n")


def _trust(builder: Builder, root: Path) -> None:
    """The lab's authority is as good as the public ones here."""
    own = root / "usr/local/share/ca-certificates"
    own.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(AUTHORITIES.path / AUTHORITY, own / "q8s-lab.crt")
    builder.run("chroot", root, "update-ca-certificates")


def host_image(name: str, suite: str) -> Artifact:
    """The artifact of this name: hosts of a release of Debian."""
    return Artifact(
        name=name,
        build=partial(_build, suite),
        files=(_ROOTFS,),
        needs=(AUTHORITIES,),
        pins=(suite, versions.HOST_SUITE, versions.HOST_NAMESERVER),
        fetches=True,
    )


HOST_IMAGE: Final = host_image("host-image", versions.HOST_SUITE)
"""The root file system itself: :attr:`Artifact.path` is the lower directory of every host."""
