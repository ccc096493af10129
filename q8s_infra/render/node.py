"""What every Kubernetes node gets, emulated or not: kernel settings, container runtime, the Flannel remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from q8s_infra import versions
from q8s_infra.render.templates import render, text

if TYPE_CHECKING:
    from q8s_infra.spec import ClusterSpec

MODULES: Final = "overlay\nbr_netfilter\nvxlan\n"
SYSCTL: Final = (
    "net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\n"
)


OCI_RUNTIME: Final = "crun"
"""What starts containers in guests, for an eighth of the CPU time that runc takes there (docs/decisions/0026)."""


def containerd_toml(spec: ClusterSpec, runtime: str | None = None) -> str:
    """Containerd's configuration, the same on control planes and in guests but for what starts containers.

    Args:
        spec: the cluster.
        runtime: the OCI runtime's program; by default containerd's own choice.
    """
    return render(
        "containerd.toml.j2",
        pause=versions.PAUSE,
        runtime=runtime,
        systemd_cgroup=spec.kubernetes.cgroup_driver == "systemd",
    )


def authorized_keys(spec: ClusterSpec) -> Mapping[str, str]:
    """The keys that users log in to hosts with, as the steps that prepare hosts get them."""
    return {"access/user": spec.access.user, "access/keys": "".join(f"{key}\n" for key in spec.access.ssh_public_keys)}


def guest_keys(spec: ClusterSpec, stack_key: str) -> tuple[str, ...]:
    """The keys that may log in to guests: the stack's public key, and those of the users."""
    return (stack_key, *spec.access.ssh_public_keys)


def node_files(spec: ClusterSpec) -> Mapping[str, str]:
    """The files under ``node/`` of the step that prepares a control plane."""
    return {
        "node/modules.conf": MODULES,
        "node/sysctl.conf": SYSCTL,
        "node/containerd.toml": containerd_toml(spec),
        "node/q8s-flannel-offload.sh": text("q8s-flannel-offload.sh"),
        "node/q8s-flannel-offload.service": text("q8s-flannel-offload.service"),
    }
