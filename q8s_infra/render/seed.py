"""The NoCloud seed of a guest: user data, meta data and network configuration, from ``cloudinit/guest``.

The same for all guests of a cluster and an architecture, and without a secret: what is a node's own comes later
(:mod:`q8s_infra.render.identity`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from q8s_infra.defaults import PAYLOAD_PORT
from q8s_infra.render.authorities import guest_authority_files
from q8s_infra.render.identity import REGISTRIES
from q8s_infra.render.node import MODULES, OCI_RUNTIME, SYSCTL, containerd_toml
from q8s_infra.render.sources import registry_files
from q8s_infra.render.templates import render, text

if TYPE_CHECKING:
    from q8s_infra.spec import ClusterSpec


GUEST_FORMAT: Final = 2
"""Raised by a release whose guests differ so that running ones have to be made anew, and by nothing else."""

SEED_FILES: Final = ("seed/user-data", "seed/meta-data", "seed/network-config")


@dataclass(frozen=True)
class SeedFile:
    """A file that cloud-init writes in the guest."""

    path: str
    content: str
    mode: str = "0644"


def guest_files(spec: ClusterSpec) -> tuple[SeedFile, ...]:
    """All files that guests have before they are anybody's."""
    units = {
        f"/etc/systemd/system/{name}": text(f"guest/{name}")
        for name in ("containerd.service", "kubelet.service", "q8s-node-address.service")
    }
    hosts = {path.removeprefix("registry/"): content for path, content in registry_files(spec).items()}
    plain = {
        **units,
        **{f"/{REGISTRIES}/_default/{path}": content for path, content in hosts.items() if "/" not in path},
        **guest_authority_files(spec),
        "/etc/systemd/system/q8s-flannel-offload.service": text("q8s-flannel-offload.service"),
        "/etc/modules-load.d/q8s.conf": MODULES,
        "/etc/sysctl.d/90-q8s.conf": SYSCTL,
        # cloud-init's ssh_pwauth comes once the SSH server runs, and starts it anew.
        "/etc/ssh/sshd_config.d/10-q8s.conf": "PasswordAuthentication no\n",
        "/etc/containerd/config.toml": containerd_toml(spec, OCI_RUNTIME),
    }
    programs = {
        "q8s-flannel-offload": "q8s-flannel-offload.sh",
        "q8s-join": "guest/q8s-join.sh",
        "q8s-become": "guest/q8s_become.py",
        "q8s-own-uuid": "guest/q8s-own-uuid.sh",
    }
    return (
        *(SeedFile(path, content) for path, content in sorted(plain.items())),
        *(SeedFile(f"/usr/local/sbin/{name}", text(file), "0755") for name, file in programs.items()),
    )


def seed(spec: ClusterSpec, *, authorized_keys: Sequence[str]) -> Mapping[str, str]:
    """The three documents of the seed, under ``seed/``."""
    user_data = render(
        "guest/user-data.j2",
        user=spec.access.user,
        authorized_keys=list(authorized_keys),
        files=guest_files(spec),
        newer=f"{spec.guest_link.host}/{PAYLOAD_PORT}",
    )
    # NoCloud runs again when the instance id changes: so it follows the content (cloud-init, "NoCloud").
    instance_id = f"q8s-{hashlib.sha256(user_data.encode()).hexdigest()[:12]}"
    return {
        "seed/user-data": user_data,
        "seed/meta-data": render("guest/meta-data.j2", instance_id=instance_id),
        "seed/network-config": render("guest/network-config.j2", link=spec.guest_link),
    }
