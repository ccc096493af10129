"""The API's endpoint: one name from the first day, and what it leads to (docs/decisions/0009)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from q8s_infra.defaults import CONTROL_PLANE_PORT, GUEST_LINK
from q8s_infra.render.templates import render

if TYPE_CHECKING:
    from q8s_infra.spec import ClusterSpec

_DOMAIN: Final = "q8s.internal"


def endpoint_name(spec: ClusterSpec) -> str:
    """The name under which every node finds the API; each node's hosts file says where."""
    return f"{spec.name}.{_DOMAIN}"


def endpoint(spec: ClusterSpec) -> str:
    """Name and port, as kubeadm takes them; it can't change them later."""
    return f"{endpoint_name(spec)}:{CONTROL_PLANE_PORT}"


def balancer(addresses: Sequence[str]) -> str:
    """HAProxy's configuration on a worker's host: from the guest's side of the link to all control planes.

    Args:
        addresses: the control planes'.
    """
    return render("haproxy.cfg.j2", link=GUEST_LINK, port=CONTROL_PLANE_PORT, addresses=addresses)
