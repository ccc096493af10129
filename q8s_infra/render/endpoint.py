"""The API's endpoint: one name from the first day, and what it leads to (docs/decisions/0009)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from q8s_infra.defaults import CONTROL_PLANE_PORT, GuestLink
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


def balancer(addresses: Sequence[str], link: GuestLink) -> str:
    """HAProxy's configuration on a worker's host: from the guest's side of the link to all control planes.

    Every worker checks every API server, by a TLS handshake and ``GET /readyz``. A plain TCP connection would be
    cheaper, but not see an API server that has lost etcd, and leave a line in its log each. At 1,000 workers an API
    server has 100 handshakes a second (one for each worker in 10 s); one that is down has 200 connections a second
    (``downinter 5s``), which it refuses.

    Fail-over, until the server is out and its connections are closed:

    - it refuses (its process has ended): the guest's next connection goes to another server (``redispatch``) and has
      this one checked within a second; that check, or a second connection that fails, takes it out (``sudden-death``).
      One connection may be lost. Without new connections: 12 s at most (10 + 1 + 1).
    - it is silent (its host is gone): 3 s for a connection, then as above, 7 s in all. Without new connections 21 s at
      most (10 until the next check, 3 for it, twice 1 + 3), 16 s on average. Checks every 3 s took 18 s at most, 16 s
      on average, at 333 handshakes a second for each API server.

    A single failed connection takes no server out. Source: HAProxy's configuration
    manual (5.2, ``inter``, ``observe``, ``on-error``).

    Args:
        addresses: the control planes'.
        link: between the host and its guest.
    """
    return render("haproxy.cfg.j2", link=link, port=CONTROL_PLANE_PORT, addresses=addresses)
