"""What a host is: its names, its folders, and the command that boots it. Pure; no Nova in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

_RECORD: Final = "host.json"
_VIEW: Final = Path(__file__).with_name("view.sh")
# runc joins session keyrings and loads device filters; all of it is refused by nspawn's default filter.
_SYSTEM_CALLS: Final = "@keyring bpf perf_event_open"
# The clock and the modules are the machine's.
_DROPPED_CAPABILITIES: Final = "CAP_SYS_TIME,CAP_SYS_MODULE"
# /dev/kvm is left out on purpose: every guest is emulated, and libvirt's probing of a half-usable KVM takes minutes.
_DEVICES: Final = ("/dev/net/tun", "/dev/fuse", "/dev/kmsg")


@dataclass(frozen=True)
class Host:
    """One Nova instance as a systemd-nspawn container.

    Attributes:
        uuid: the instance's UUID; names everything that the host owns on the machine.
        name: Nova's internal name (``instance-00000001``).
        hostname: the host name that the host boots with.
        memory_mib: the flavor's memory in MiB, enforced by control group.
        cpus: the flavor's CPUs, enforced by control group; 0 for all that the machine has.
        disk_gib: the flavor's disk in GiB, enforced by a file system of that size; 0 for a host without one of its own.
    """

    uuid: str
    name: str
    hostname: str
    memory_mib: int
    # Hosts recorded before these were enforced have neither.
    cpus: int = 0
    disk_gib: int = 0

    @property
    def machine(self) -> str:
        """Name of the nspawn machine, of the network namespace and of the control groups."""
        return f"q8s-{self.uuid}"

    def folder(self, instances: Path) -> Path:
        """The host's folder below Nova's ``instances_path``."""
        return instances / self.uuid

    def save(self, instances: Path) -> None:
        """Record the host, once its root file system is complete."""
        (self.folder(instances) / _RECORD).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, instances: Path, uuid: str) -> Self | None:
        """The recorded host, or None where there is none of this UUID."""
        try:
            return cls(**json.loads((instances / uuid / _RECORD).read_text()))
        except FileNotFoundError:
            return None


def all_hosts(instances: Path) -> list[Host]:
    """Every recorded host, running or not, by UUID."""
    found = (Host.load(instances, path.parent.name) for path in sorted(instances.glob(f"*/{_RECORD}")))
    return [host for host in found if host is not None]


@dataclass(frozen=True)
class Folders:
    """The parts of a host's folder.

    The root is an overlay over the host image. ``/var`` is a real folder instead: containerd, kubelet and payload
    builds make overlays of their own below it, which an overlay cannot carry, and etcd wants a fast ``fsync``.
    Whatever the host writes is on its disk, a file system in a sparse file: full at the flavor's size, and for no other
    host.

    Attributes:
        top: the host's folder.
        own_disk: the host has a disk of its own.
    """

    top: Path
    own_disk: bool

    @classmethod
    def of(cls, host: Host, instances: Path) -> Self:
        """Those of a host below Nova's ``instances_path``."""
        return cls(host.folder(instances), own_disk=host.disk_gib > 0)

    @property
    def image(self) -> Path:
        """The file that holds the disk's file system."""
        return self.top / "disk.img"

    @property
    def disk(self) -> Path:
        """Mount point of the disk."""
        return self.top / "disk"

    @property
    def written(self) -> Path:
        """What holds all that the host writes."""
        return self.disk if self.own_disk else self.top

    @property
    def root(self) -> Path:
        """Mount point of the overlay."""
        return self.top / "root"

    @property
    def upper(self) -> Path:
        """What this host has written outside ``/var``."""
        return self.written / "upper"

    @property
    def work(self) -> Path:
        """The overlay's own work folder."""
        return self.written / "work"

    @property
    def var(self) -> Path:
        """The host's ``/var``."""
        return self.written / "var"

    @property
    def view(self) -> Path:
        """Mount point, in the host's own mount namespace, of what it is shown of the machine."""
        return self.top / "view"

    @property
    def console(self) -> Path:
        """Everything that the host printed on its console."""
        return self.top / "console.log"


def disk_commands(host: Host, folders: Folders) -> list[list[str]]:
    """The commands that make a new host's disk; it takes no more of the machine's than the host writes."""
    # A new file reads as zeros: there is nothing to be wiped, now or in the background.
    options = ["-q", "-F", "-m", "0", "-E", "assume_storage_prezeroed=1,nodiscard"]
    return [
        ["truncate", f"--size={host.disk_gib}G", str(folders.image)],
        ["mkfs.ext4", *options, str(folders.image)],
    ]


def disk_mount_command(folders: Folders) -> list[str]:
    """The command that mounts a host's disk, with a loop device that goes with the mount; deleted files free room."""
    return ["mount", "-o", "loop,discard", str(folders.image), str(folders.disk)]


def mount_command(image: Path, folders: Folders) -> list[str]:
    """The command that mounts the host's root over the image."""
    options = f"lowerdir={image},upperdir={folders.upper},workdir={folders.work}"
    return ["mount", "-t", "overlay", "q8s-host", "-o", options, str(folders.root)]


def boot_command(host: Host, folders: Folders) -> list[str]:
    """The systemd-nspawn command line of a host, with what shows it its own size; see systemd-nspawn(1).

    It reports to no systemd (``--register=no --keep-unit``), because the machine need not run one.
    """
    return [
        *("unshare", "--mount", "--propagation=slave", "bash", str(_VIEW), str(folders.view)),
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--register=no",
        "--keep-unit",
        f"--directory={folders.root}",
        f"--bind={folders.var}:/var",
        f"--machine={host.machine}",
        f"--hostname={host.hostname}",
        f"--uuid={host.uuid}",
        f"--network-namespace-path=/run/netns/{host.machine}",
        "--capability=all",
        f"--drop-capability={_DROPPED_CAPABILITIES}",
        f"--system-call-filter={_SYSTEM_CALLS}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        *(f"--bind={device}" for device in _DEVICES),
        # The host's own /proc is mounted after this: its first service puts these files there (host-early).
        f"--bind={folders.view}/proc:/run/q8s-lab/proc",
    ]


def boot_environment(*, unified: bool) -> dict[str, str]:
    """Environment of systemd-nspawn.

    Args:
        unified: the machine has cgroup v2 only. Otherwise the host gets the v1 controllers, where memory, cpu and
            cpuset live on such machines.
    """
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1" if unified else "0",
        # Network sysctls are the host's own, all others the machine's.
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
    }
