"""What is a node's own in its guest: given late, by its host, so that guests of a type can be alike until then."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from q8s_infra.defaults import CONTROL_PLANE_PORT, KUBELET_HOUSEKEEPING
from q8s_infra.render.endpoint import endpoint_name
from q8s_infra.render.proxy import containerd_files, proxy_files
from q8s_infra.render.sources import registry_files
from q8s_infra.render.templates import render

if TYPE_CHECKING:
    from q8s_infra.hostkeys import HostKey
    from q8s_infra.spec import ClusterSpec

REGISTRIES: Final = "etc/containerd/certs.d"
_HOST_KEY: Final = "etc/ssh/ssh_host_ecdsa_key"


def guest_join(
    spec: ClusterSpec,
    *,
    node: str,
    address: str,
    token: str,
    ca_cert_hash: str,
    host_key: HostKey,
    machine_id: str,
    login_keys: str,
) -> str:
    """What a worker's host makes its guest a node by (hostscripts/q8s_join_guest.py), as JSON; with secrets.

    Args:
        spec: the cluster.
        node: the node's name.
        address: the node's, which is its host's.
        token: what kubelet gets its certificate with.
        ca_cert_hash: the CA that is pinned.
        host_key: of the guest's SSH.
        machine_id: as machine-id(5) has it.
        login_keys: the SSH keys that may log in to the guest, a line each.
    """
    return json.dumps(
        {
            "identity": identity_files(spec, name=node, node_address=address, host_key=host_key, machine_id=machine_id),
            "endpoint": endpoint_name(spec),
            "link": spec.guest_link.host,
            "port": CONTROL_PLANE_PORT,
            "token": token,
            "ca_cert_hash": ca_cert_hash,
            "arguments": {
                "hostname-override": node,
                "node-ip": address,
                "housekeeping-interval": KUBELET_HOUSEKEEPING,
                # Which keys the guest has when it joins (guest-keys.sh); a label's value has at most 63 characters.
                "node-labels": f"q8s.io/ssh-keys={hashlib.sha256(login_keys.encode()).hexdigest()[:40]}",
            },
        },
        indent=2,
    )


def identity_files(
    spec: ClusterSpec, *, name: str, node_address: str, host_key: HostKey, machine_id: str
) -> Mapping[str, tuple[str, int]]:
    """Contents and modes by place; with them go the secrets of the cluster that a guest needs before it is a node.

    The last one is what says that all are there (cloudinit/guest/q8s_become.py).

    Args:
        spec: the cluster.
        name: the node's.
        node_address: the node's, which is its host's.
        host_key: of the guest's SSH.
        machine_id: as machine-id(5) has it.
    """
    registries = {path.removeprefix("registry/"): content for path, content in registry_files(spec).items()}
    return {
        "etc/hostname": (f"{name}\n", 0o644),
        "etc/hosts": (render("guest/hosts.j2", name=name, endpoint=endpoint_name(spec), link=spec.guest_link), 0o644),
        "etc/machine-id": (f"{machine_id}\n", 0o444),
        _HOST_KEY: (host_key.private, 0o600),
        f"{_HOST_KEY}.pub": (f"{host_key.public}\n", 0o644),
        **{f"{REGISTRIES}/{path}": (content, 0o600) for path, content in registries.items() if "/" in path},
        **{f"etc/q8s/{path}": (content, 0o600) for path, content in proxy_files(spec).items()},
        **{
            f"etc/systemd/system/containerd.service.d/{path}": (content, 0o644)
            for path, content in containerd_files(spec).items()
        },
        "etc/q8s/node.env": (f"NODE_ADDRESS={node_address}\n", 0o644),
    }
