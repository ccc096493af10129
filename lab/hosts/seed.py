"""The files that make one host different from the next: names, identity and cloud-init's NoCloud seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.hosts.host import Host

_SEED: Final = "var/lib/cloud/seed/nocloud"


@dataclass(frozen=True)
class SeedFile:
    """A file of the host's root.

    Attributes:
        path: relative to the host's root.
        content: its bytes.
        mode: its permission bits.
    """

    path: str
    content: bytes
    mode: int = 0o644


def seed_files(
    host: Host, *, user_data: bytes | None, public_key: str | None, nameservers: Sequence[str] = ()
) -> list[SeedFile]:
    """The files of a new host.

    Args:
        host: the host.
        user_data: what the user gave to Nova, decoded; any format that cloud-init takes.
        public_key: the keypair's public key, for the image's login user.
        nameservers: resolvers of the host's subnets; without any, the image's own stays.
    """
    metadata = {
        "instance-id": host.uuid,
        "local-hostname": host.hostname,
        "public-keys": [public_key.strip()] if public_key else [],
    }
    files = [
        SeedFile("etc/hostname", f"{host.hostname}\n".encode()),
        SeedFile("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {host.hostname}\n::1 localhost\n".encode()),
        SeedFile("etc/machine-id", f"{host.uuid.replace('-', '')}\n".encode(), 0o444),
        # JSON is YAML, and quotes whatever a key's comment holds.
        SeedFile(f"{_SEED}/meta-data", json.dumps(metadata).encode()),
        # It may carry private SSH host keys.
        SeedFile(f"{_SEED}/user-data", user_data if user_data is not None else b"#cloud-config\n{}\n", 0o600),
    ]
    if nameservers:
        lines = "".join(f"nameserver {address}\n" for address in nameservers)
        files.append(SeedFile("etc/resolv.conf", lines.encode()))
    return files
