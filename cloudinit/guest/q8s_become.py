#!/usr/bin/env python3
"""Makes a guest a node with what its host hands over: who it is, then kubelet's files and its credential.

Runs in the guest, once all else is in place, at every boot until it is a node (q8s-join.sh). The host
(hostscripts/q8s_join_guest.py) is at the other end of a virtio port, so this needs no network. Both talk in lines: the
guest says ``nobody``, ``waiting`` or ``joined`` at its start and when it is asked for its ``status``; after
``identity BYTES SHA256`` or ``node BYTES SHA256`` follows an archive (tar) of files; to ``ok``, which ends it all, the
guest says ``bye``, since what is on its way when the host leaves is lost. To ``rest`` it says ``rested`` once it has
booted and its disks are written: its state can be saved then, and others start from it, to whom ``wake SECONDS SEED``
tells the time and something to be random by. A line that is none of these is what an interrupted talk has left.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import select
import socket
import subprocess
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

PORT = "/dev/virtio-ports/io.q8s.node"
CREDENTIAL = "var/lib/kubelet/pki/kubelet-client-current.pem"
"""kubelet's certificate. The configuration that names it, kubelet writes before it has asked for one; and until it has
one, each start of kubelet takes the bootstrap configuration."""
BOOTSTRAP = "etc/kubernetes/bootstrap-kubelet.conf"
IDENTITY = "etc/q8s/node.env"
"""The last file of an identity."""
WANTED = {"identity": "nobody", "node": "waiting"}
"""At which stage an archive is put in place."""
POLL_SECONDS = 0.2
LIMIT_SECONDS = 60
REST_SECONDS = 60
"""How long the rest of a boot is waited for; what is left of it each guest that goes on from the state does itself."""
OUR_UNIT = "q8s-join.service"
RNDRESEEDCRNG = 0x20005207 if os.uname().machine.startswith("ppc") else 0x5207
"""linux/random.h: the kernel's generator takes what was written to it into account from now on."""
LINGER_SECONDS = 600
"""How long a guest that has joined waits for its host to ask: it may have been cut off, and not know it yet."""


class HostLeft(Exception):
    """Nobody is at the other end."""


class NobodyAsks(Exception):
    """Within the time that there was for it."""


class Machine(Protocol):
    """What becomes a node."""

    def rest(self) -> None:
        """Wait until it has booted, and all is on its disks."""

    def wake(self, now: float, seed: bytes) -> None:
        """Make time and randomness its own, and forget whom it knew on its link.

        Args:
            now: in seconds since 1970.
            seed: random.
        """

    def settle(self) -> None:
        """Make the system the one that the files of its identity say."""

    def start(self) -> None:
        """Make kubelet run."""


class Talk:
    """Lines and bytes of a port; what is read and not yet taken is kept.

    Attributes:
        seconds: how long to wait for more; without end where it is None.
    """

    def __init__(self, port: int) -> None:
        self._port, self._read = port, b""
        self.seconds: float | None = None

    def say(self, word: str) -> None:
        """Say a line; nobody hears it where the host is not there."""
        with suppress(OSError):
            os.write(self._port, f"{word}\n".encode())

    def line(self) -> str:
        """The next line.

        Raises:
            HostLeft: in the middle of it, or before; what there is of it is forgotten.
        """
        while b"\n" not in self._read:
            self._more()
        line, _, self._read = self._read.partition(b"\n")
        return line.decode(errors="replace")

    def bytes(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            HostLeft: before they were there.
        """
        while len(self._read) < count:
            self._more()
        taken, self._read = self._read[:count], self._read[count:]
        return taken

    def _more(self) -> None:
        if not select.select([self._port], [], [], self.seconds)[0]:
            raise NobodyAsks
        read = os.read(self._port, 65536)
        if not read:
            self._read = b""
            raise HostLeft
        self._read += read


def put(archive: bytes, root: Path) -> None:
    """The archive's files in their places, whole, with their modes, root's."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            if content is None:
                continue
            place = root / entry.name
            place.parent.mkdir(parents=True, exist_ok=True)
            part = place.with_name(f".{place.name}.part")
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, entry.mode), "wb") as file:
                os.fchmod(file.fileno(), entry.mode)
                file.write(content.read())
            part.replace(place)


def stage(root: Path) -> str:
    """How far this guest has come."""
    if (root / CREDENTIAL).exists():
        return "joined"
    return "waiting" if (root / IDENTITY).exists() else "nobody"


def become(talk: Talk, root: Path, machine: Machine) -> None:
    """Talk with the host until this is a node, and the host knows it, or asks no more.

    Args:
        talk: with the host.
        root: where the files go.
        machine: whose root that is.
    """
    talk.say(stage(root))
    joined_at = None
    while joined_at is None or time.monotonic() < joined_at + LINGER_SECONDS:
        try:
            if joined_at is None and stage(root) == "joined":
                joined_at, talk.seconds = time.monotonic(), LINGER_SECONDS
                (root / BOOTSTRAP).unlink(missing_ok=True)
            word, *rest = talk.line().split() or [""]
            if word == "ok" and joined_at is not None:
                talk.say("bye")
                return
            if stage(root) == "nobody":
                _of_nobody(word, rest, talk, machine)
            if word in WANTED:
                size, digest = rest
                archive = talk.bytes(int(size))
                if hashlib.sha256(archive).hexdigest() == digest and stage(root) == WANTED[word]:
                    put(archive, root)
                    if word == "identity":
                        machine.settle()
                    else:
                        machine.start()
                        # It is there once the cluster has taken the node in.
                        while stage(root) != "joined":
                            time.sleep(POLL_SECONDS)
            if word == "status" or word in WANTED:
                talk.say(stage(root))
        except NobodyAsks:
            return
        except (HostLeft, ValueError, IndexError):
            time.sleep(POLL_SECONDS)


def _of_nobody(word: str, rest: list[str], talk: Talk, machine: Machine) -> None:
    """What only a guest that is nobody's is asked for."""
    if word == "rest":
        machine.rest()
        talk.say("rested")
    elif word == "wake":
        machine.wake(float(rest[0]), bytes.fromhex(rest[1]))


class Guest:
    """This machine."""

    def rest(self) -> None:  # noqa: D102 - as Machine says
        until = time.monotonic() + REST_SECONDS
        # Waits for the jobs that these have, and gives them none: to look again and again is work for an emulated CPU.
        with suppress(subprocess.SubprocessError):
            _systemctl("--job-mode=ignore-requirements", "start", "default.target", "cloud-init.target")
        # What comes after them. The system never counts as started while the unit that this runs in has a job.
        while any(OUR_UNIT not in job for job in _jobs()) and time.monotonic() < until:
            time.sleep(1)
        os.sync()

    def wake(self, now: float, seed: bytes) -> None:  # noqa: D102 - as Machine says
        time.clock_settime(time.CLOCK_REALTIME, now)
        with Path("/dev/urandom").open("wb", buffering=0) as generator:
            generator.write(seed)
            fcntl.ioctl(generator, RNDRESEEDCRNG)
        subprocess.run(["ip", "neigh", "flush", "all"], check=True, timeout=LIMIT_SECONDS)

    def settle(self) -> None:  # noqa: D102 - as Machine says
        # containerd anew where it has got secrets with its identity.
        socket.sethostname(Path("/etc/hostname").read_text().strip())
        if Path("/etc/systemd/system/containerd.service.d").exists():
            _systemctl("daemon-reload")
            _systemctl("restart", "containerd.service")
        _systemctl("--no-block", "restart", "ssh.service")

    def start(self) -> None:  # noqa: D102 - as Machine says
        # Now, and at every boot. systemd knows the unit, and to read all units anew takes it seconds here.
        _systemctl("--no-reload", "enable", "kubelet.service")
        _systemctl("--no-block", "restart", "kubelet.service")


def _jobs() -> list[str]:
    """What systemd has to do."""
    command = ["systemctl", "list-jobs", "--no-legend", "--no-pager"]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=LIMIT_SECONDS
    ).stdout.splitlines()


def _systemctl(*words: str) -> None:
    subprocess.run(["systemctl", "--quiet", *words], check=True, timeout=LIMIT_SECONDS)


if __name__ == "__main__":
    become(Talk(os.open(PORT, os.O_RDWR)), Path("/"), Guest())
