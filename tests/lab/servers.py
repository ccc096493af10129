"""Servers of the running lab, asked for by Nova's API as the regular user and reached over SSH."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

IMAGE, FLAVOR, NETWORK, USER = "debian-12", "c1.small", "private", "debian"
DISKLESS = "c1.medium.diskless"


def eventually(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until the condition holds, and fail with ``what`` did not happen otherwise."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)


def is_open(address: str, port: int, timeout: float = 1.0) -> bool:
    """True when a TCP connection can be made."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout):
        return True
    return False


@dataclass(frozen=True)
class Server:
    """A server with its address, and the SSH files that lead into it."""

    id: str
    address: str
    keys: Path

    def words(self, command: str) -> list[str]:
        """What runs a command as the image's login user; the host key must be the one that user data set."""
        known_hosts = self.keys / f"known_hosts-{self.id}"
        known_hosts.write_text(f"{self.address} {(self.keys / 'host.pub').read_text()}")
        options = ["-o", f"UserKnownHostsFile={known_hosts}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
        where = ["-i", str(self.keys / "user"), *options, "-o", "ConnectTimeout=5", f"{USER}@{self.address}"]
        return ["ssh", *where, command]

    def ssh(self, command: str, *, check: bool = True) -> str:
        """What a command prints."""
        done = subprocess.run(self.words(command), capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def await_ssh(self, seconds: float = 60) -> None:
        """Wait for an SSH login."""
        eventually(lambda: self.ssh("echo in", check=False) == "in", seconds, f"SSH login to {self.address}")

    @property
    def boot(self) -> str:
        """Something that differs from boot to boot: when the host's first process started."""
        return self.ssh("cut -d' ' -f22 /proc/1/stat")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, cloud: Any) -> Iterator[Path]:
    """A folder with a user's and a host's key; the user's is a keypair of the cloud."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("user", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / name], check=True)
    name = f"hosts-test-{os.getpid()}"
    cloud.create_keypair(name, (folder / "user.pub").read_text())
    (folder / "name").write_text(name)
    yield folder
    cloud.delete_keypair(name)


@pytest.fixture(scope="module")
def group(cloud: Any) -> Iterator[Any]:
    """A security group that lets SSH in."""
    made = cloud.create_security_group(f"hosts-test-{os.getpid()}", "tests/lab/test_hosts.py")
    cloud.create_security_group_rule(made.id, port_range_min=22, port_range_max=22, protocol="tcp")
    yield made
    cloud.delete_security_group(made.id)


Create = Callable[..., Server]


@pytest.fixture(scope="module")
def create(cloud: Any, keys: Path, group: Any) -> Iterator[Create]:
    """Make servers: with a disk or on a volume, of the lab's image or another; those left are deleted at the end."""
    made: list[str] = []

    def user_data() -> str:
        private = "".join(f"    {line}\n" for line in (keys / "host").read_text().splitlines())
        public = (keys / "host.pub").read_text()
        text = f"#cloud-config\nssh_keys:\n  ed25519_private: |\n{private}  ed25519_public: {public}"
        return text + "write_files: [{path: /etc/from-user-data, content: yes it is}]\n"

    def new(name: str, *, volume_gib: int | None = None, image: str = IMAGE) -> Server:
        flavor = {"flavor": FLAVOR} if volume_gib is None else {"flavor": DISKLESS, "volume_size": volume_gib}
        server = cloud.create_server(
            name,
            image=image,
            **flavor,
            boot_from_volume=volume_gib is not None,
            terminate_volume=True,
            network=NETWORK,
            key_name=(keys / "name").read_text(),
            security_groups=[group.name],
            userdata=user_data(),
            auto_ip=False,
        )
        made.append(server.id)
        server = cloud.compute.wait_for_server(server, wait=120)
        address = next(iter(server.addresses.values()))[0]["addr"]
        return Server(server.id, address, keys)

    yield new
    for server_id in made:
        cloud.delete_server(server_id, wait=True, timeout=60)


@pytest.fixture(scope="module")
def server(create: Create) -> Server:
    """One server for all tests that leave it running."""
    made = create("hosts-test")
    made.await_ssh()
    return made
