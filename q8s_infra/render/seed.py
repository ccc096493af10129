"""The NoCloud seed of a guest: user data, meta data and network configuration, from ``cloudinit/guest``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from q8s_infra.defaults import GUEST_LINK, PAYLOAD_PORT
from q8s_infra.render.authorities import guest_authority_files
from q8s_infra.render.endpoint import endpoint_name
from q8s_infra.render.node import MODULES, SYSCTL, containerd_toml
from q8s_infra.render.proxy import containerd_files, proxy_files
from q8s_infra.render.sources import registry_files
from q8s_infra.render.templates import render, text

if TYPE_CHECKING:
    from q8s_infra.hostkeys import HostKey
    from q8s_infra.plan import Worker
    from q8s_infra.spec import ClusterSpec


GUEST_FORMAT: Final = 2
"""Raised by a release whose guests differ so that running ones have to be made anew, and by nothing else."""

_REGISTRIES: Final = "/etc/containerd/certs.d"

SEED_FILES: Final = ("seed/user-data", "seed/meta-data", "seed/network-config")


@dataclass(frozen=True)
class SeedFile:
    """A file that cloud-init writes in the guest."""

    path: str
    content: str
    mode: str = "0644"


def guest_files(spec: ClusterSpec, *, name: str, node_address: str) -> tuple[SeedFile, ...]:
    """All files of a guest; proxies and registries may have secrets in them."""
    units = {
        f"/etc/systemd/system/{name}": text(f"guest/{name}")
        for name in ("containerd.service", "kubelet.service", "q8s-node-address.service")
    }
    hosts = {path.removeprefix("registry/"): content for path, content in registry_files(spec).items()}
    proxy = {
        f"/etc/systemd/system/containerd.service.d/{path}": content for path, content in containerd_files(spec).items()
    }
    plain = {
        **units,
        **{f"{_REGISTRIES}/_default/{path}": content for path, content in hosts.items() if "/" not in path},
        **proxy,
        **guest_authority_files(spec),
        "/etc/systemd/system/q8s-flannel-offload.service": text("q8s-flannel-offload.service"),
        "/etc/modules-load.d/q8s.conf": MODULES,
        "/etc/sysctl.d/90-q8s.conf": SYSCTL,
        "/etc/containerd/config.toml": containerd_toml(spec),
        "/etc/q8s/node.env": f"NODE_ADDRESS={node_address}\n",
        "/etc/hosts": render("guest/hosts.j2", name=name, endpoint=endpoint_name(spec), link=GUEST_LINK),
    }
    return (
        *(SeedFile(path, content) for path, content in sorted(plain.items())),
        SeedFile("/usr/local/sbin/q8s-flannel-offload", text("q8s-flannel-offload.sh"), "0755"),
        SeedFile("/usr/local/sbin/q8s-join", text("guest/q8s-join.sh"), "0755"),
        SeedFile("/usr/local/sbin/q8s-become", text("guest/q8s_become.py"), "0755"),
        *(SeedFile(f"/etc/q8s/{path}", content, "0600") for path, content in proxy_files(spec).items()),
        *(SeedFile(f"{_REGISTRIES}/{path}", content, "0600") for path, content in hosts.items() if "/" in path),
    )


def seed(
    spec: ClusterSpec,
    worker: Worker,
    *,
    node_address: str,
    host_key: HostKey,
    authorized_keys: Sequence[str],
) -> Mapping[str, str]:
    """The three documents of the seed, under ``seed/``."""
    user_data = render(
        "guest/user-data.j2",
        name=worker.name,
        user=spec.access.user,
        authorized_keys=list(authorized_keys),
        host_key=host_key,
        files=guest_files(spec, name=worker.name, node_address=node_address),
        newer=f"{GUEST_LINK.host}/{PAYLOAD_PORT}",
    )
    # NoCloud runs again when the instance id changes: so it follows the content (cloud-init, "NoCloud").
    instance_id = f"{worker.name}-{hashlib.sha256(user_data.encode()).hexdigest()[:12]}"
    return {
        "seed/user-data": user_data,
        "seed/meta-data": render("guest/meta-data.j2", instance_id=instance_id, name=worker.name),
        "seed/network-config": render("guest/network-config.j2", link=GUEST_LINK),
    }
