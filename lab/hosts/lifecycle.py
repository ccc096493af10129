"""Make, start, stop and remove hosts. Runs inside the lab's network and mount namespace; needs root, but no Nova."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import command as commands
from lab import files
from lab.hosts import cgroups, network
from lab.hosts.host import (
    Folders,
    Host,
    all_hosts,
    boot_command,
    boot_environment,
    disk_commands,
    disk_mount_command,
    mount_command,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from subprocess import CompletedProcess

    from lab.hosts.network import Nic
    from lab.hosts.seed import SeedFile

_LAUNCH: Final = Path(__file__).with_name("launch.sh")
_NSPAWN_RUNTIME: Final = Path("/run/systemd/nspawn")
_START_SECONDS: Final = 10.0
_COMMAND_SECONDS: Final = 60.0
_DISK_SECONDS: Final = 600.0
# With the marks of an overlay, which are devices and attributes.
_AS_IT_IS: Final = ("--sparse", "--numeric-owner", "--xattrs", "--xattrs-include=*")
_CONSOLE_LIMIT: Final = 1 << 16
_INOTIFY: Final = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_INSTANCES: Final = 8192
# The machine has one limit, whichever labs run on it: each that needs it raised is in this note until it is down.
_INOTIFY_NOTE: Final = Path("/run/q8s-inotify.json")


class HostError(commands.LabError):
    """A step for a host failed; the message says which and what it printed."""


def run(*command: str | Path, check: bool = True, limit: float = _COMMAND_SECONDS) -> CompletedProcess[str]:
    """Run a command.

    Raises:
        HostError: it exited non-zero, unless ``check`` is off, or was not done within ``limit`` seconds.
    """
    try:
        return commands.run(*command, check=check, limit=limit)
    except commands.CommandError as error:
        raise HostError(str(error)) from None


def raise_limits(instances: Path) -> None:
    """Allow root more inotify instances until :func:`stop_all` has stopped the last lab that needs them.

    An idle host takes 11, kubelet and libvirtd more; they all count against the machine's root, and the kernel's
    default of 128 would fail the services of the tenth host.

    Args:
        instances: Nova's ``instances_path``, which is how labs are told from each other.
    """
    with _inotify_note() as note:
        note.labs.add(str(instances.resolve()))
        now = int(_INOTIFY.read_text())
        if now < _INOTIFY_INSTANCES:
            note.former = now
            _INOTIFY.write_text(str(_INOTIFY_INSTANCES))


def _restore_limits(instances: Path) -> None:
    with _inotify_note() as note:
        note.labs.discard(str(instances.resolve()))
        if note.former is not None and not note.labs:
            _INOTIFY.write_text(str(note.former))


@dataclass
class _InotifyNote:
    """The limit before it was raised, if it was, and the labs that are not down yet."""

    former: int | None = None
    labs: set[str] = field(default_factory=set)


@contextmanager
def _inotify_note() -> Iterator[_InotifyNote]:
    """The note, for changes; no other process reads or changes it or the limit meanwhile."""
    with _INOTIFY.open() as limit:
        # Those who hold it write a line and are gone.
        fcntl.flock(limit, fcntl.LOCK_EX)
        note = _InotifyNote()
        if _INOTIFY_NOTE.exists():
            known = json.loads(_INOTIFY_NOTE.read_text())
            # One whose folder is gone was never taken down, and never will be.
            note = _InotifyNote(known["former"], {lab for lab in known["labs"] if Path(lab).is_dir()})
        yield note
        if note.labs:
            files.write(_INOTIFY_NOTE, json.dumps({"former": note.former, "labs": sorted(note.labs)}))
        else:
            _INOTIFY_NOTE.unlink(missing_ok=True)


def is_running(host: Host) -> bool:
    """True while any process of the host lives, whoever started it."""
    return bool(cgroups.members(host.machine))


def prepare(
    host: Host,
    instances: Path,
    image: Path,
    files: Sequence[SeedFile],
    *,
    volume: Path | None = None,
    snapshot: Path | None = None,
) -> None:
    """Make a new host's root file system and record the host.

    Args:
        host: the host.
        instances: Nova's ``instances_path``, on a real file system.
        image: root of the host image.
        files: what makes this host different from others.
        volume: the empty file that its disk is on, which is not its own; None for one that goes with it.
        snapshot: what :func:`pack` has made of another host; it begins with all that was written there.

    Raises:
        HostError: the image is missing, or the disk or the overlay can't be mounted.
    """
    if not (image / "etc/os-release").exists():
        message = f"no host image at {image}: run `make lab`"
        raise HostError(message)
    folders = Folders.of(host, instances)
    folders.root.mkdir(parents=True, exist_ok=True)
    folders.top.chmod(0o711)
    if folders.own_disk:
        folders.disk.mkdir(exist_ok=True)
        if volume:
            folders.image.symlink_to(volume)
        for command in disk_commands(host, folders):
            run(*command)
    _mount_disk(folders, instances)
    for folder in (folders.upper, folders.work):
        folder.mkdir(exist_ok=True)
    if snapshot:
        run("tar", "--extract", *_AS_IT_IS, "--directory", folders.written, "--file", snapshot, limit=_DISK_SECONDS)
    else:
        run("cp", "-a", "--reflink=auto", image / "var", folders.var, limit=_DISK_SECONDS)
    _mount_root(folders, image)
    for file in files:
        path = (folders.written if file.path.startswith("var/") else folders.root) / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.touch(mode=file.mode)
        path.chmod(file.mode)
        path.write_bytes(file.content)
    host.save(instances)


def plug(host: Host, nics: Sequence[Nic]) -> None:
    """Give the host its network namespace and its ports, as far as it has them not.

    Raises:
        HostError: an interface can't be made.
    """
    if not Path("/run/netns", host.machine).exists():
        for command in network.namespace_commands(host.machine):
            run(*command)
    for nic in nics:
        if run("ip", "-n", host.machine, "link", "show", nic.device, check=False).returncode == 0:
            continue
        run(*network.unplug_command(nic.tap), check=False)
        if not Path("/sys/class/net", nic.bridge).exists():
            for command in network.bridge_commands(nic):
                run(*command, check=False)  # Neutron's agent may have been faster
        for command in network.plug_commands(host.machine, nic):
            run(*command)


def unplug(host: Host) -> None:
    """Take the host's network away; the interfaces go with the namespace."""
    run("ip", "netns", "delete", host.machine, check=False)


def start(host: Host, instances: Path, image: Path) -> None:
    """Boot a plugged host, in a session of its own that outlives the caller; does nothing where it runs.

    Raises:
        LabError: it did not start; carries the end of its console.
    """
    if is_running(host):
        return
    folders = Folders.of(host, instances)
    folders.view.mkdir(exist_ok=True)
    _mount_disk(folders, instances)
    _mount_root(folders, image)
    found = cgroups.hierarchies()
    groups = [str(group) for group in cgroups.create(host.machine, host.memory_mib, host.cpus, found)]
    command = ["setsid", "--fork", "bash", str(_LAUNCH), *groups, "--", *boot_command(host, folders)]
    with folders.console.open("ab") as console:
        environment = boot_environment(unified=cgroups.is_unified(found))
        commands.run(*command, env=environment, cwd=Path("/"), log=console, limit=_COMMAND_SECONDS)
    deadline = time.monotonic() + _START_SECONDS
    while _nspawn_of(host) is None:
        if time.monotonic() > deadline:
            stop(host, grace=0)
            tail = console_output(host, instances)[-2000:].decode(errors="replace")
            message = f"host {host.name} did not start:\n{tail}"
            raise HostError(message)
        time.sleep(0.05)


def stop(host: Host, grace: float) -> None:
    """Shut the host down and remove what it had at run time but its network and root.

    Args:
        host: the host.
        grace: seconds that its own shutdown may take before it is killed.

    Raises:
        TimeoutError: not even killing helped.
    """
    deadline = time.monotonic() + grace
    pid = _nspawn_of(host)
    if grace > 0 and pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        while is_running(host) and time.monotonic() < deadline:
            time.sleep(0.1)
    cgroups.kill(host.machine)
    cgroups.remove(host.machine)
    # A killed nspawn leaves these.
    for folder in ("propagate", "unix-export"):
        shutil.rmtree(_NSPAWN_RUNTIME / folder / host.machine, ignore_errors=True)


def release(host: Host, instances: Path) -> None:
    """Unmount a stopped host's root and disk, and take its network; what is on the disk stays."""
    unplug(host)
    folders = Folders.of(host, instances)
    if os.path.ismount(folders.root):
        root = folders.root.stat()
        (_NSPAWN_RUNTIME / "locks" / f"inode-{root.st_dev}:{root.st_ino}").unlink(missing_ok=True)
    for point in (folders.root, folders.disk):
        if os.path.ismount(point) and run("umount", point, check=False).returncode:
            run("umount", "--lazy", point)


def remove(host: Host, instances: Path) -> None:
    """Remove a stopped host with its disk."""
    release(host, instances)
    run("rm", "-rf", "--one-file-system", host.folder(instances), limit=_DISK_SECONDS)


def stop_all(instances: Path, grace: float = 20.0) -> list[Host]:
    """Stop every host, all at once, and leave only their disks; for the end of the lab.

    Args:
        instances: Nova's ``instances_path``.
        grace: seconds that all of them together may take to shut down.

    Returns:
        The hosts that ran.
    """
    hosts = all_hosts(instances)
    running = [host for host in hosts if is_running(host)]
    for host in running:
        pid = _nspawn_of(host)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(is_running(host) for host in running):
        time.sleep(0.1)
    for host in hosts:
        stop(host, grace=0)
        release(host, instances)
    _restore_limits(instances)
    return running


def pack(host: Host, instances: Path, file: Path) -> None:
    """Make a tar file of all that a stopped host has written.

    Raises:
        HostError: it can't be read or written.
    """
    folders = Folders.of(host, instances)
    _mount_disk(folders, instances)
    parts = (folders.upper.name, folders.var.name)
    try:
        run("tar", "--create", *_AS_IT_IS, "--directory", folders.written, "--file", file, *parts, limit=_DISK_SECONDS)
    finally:
        release(host, instances)


def console_output(host: Host, instances: Path) -> bytes:
    """The last 64 KiB that the host printed on its console."""
    try:
        with Folders.of(host, instances).console.open("rb") as console:
            console.seek(max(0, console.seek(0, os.SEEK_END) - _CONSOLE_LIMIT))
            return console.read()
    except FileNotFoundError:
        return b""


def _mount_disk(folders: Folders, instances: Path) -> None:
    if not folders.own_disk or os.path.ismount(folders.disk):
        return
    _share_mounts(instances)
    run(*disk_mount_command(folders))
    # Else what the host reads and writes would be cached twice; not every file system below can do without.
    device = run("findmnt", "--noheadings", "--output=SOURCE", "--mountpoint", folders.disk).stdout.strip()
    run("losetup", "--direct-io=on", device, check=False)


def _share_mounts(instances: Path) -> None:
    """Let what is unmounted here be unmounted everywhere.

    Each host's mount namespace begins as a copy of the lab's, and keeps the mounts of the hosts before it, out of its
    sight but in use: without this, their disks would be held until it stops.
    """
    found = run("findmnt", "--noheadings", "--output=PROPAGATION", "--mountpoint", instances, check=False)
    if "shared" not in found.stdout:
        run("mount", "--bind", instances, instances)
        run("mount", "--make-shared", instances)


def _mount_root(folders: Folders, image: Path) -> None:
    if not os.path.ismount(folders.root):
        run(*mount_command(image, folders))


def _nspawn_of(host: Host) -> int | None:
    for pid in sorted(cgroups.members(host.machine)):
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd-nspawn":
                return pid
    return None
