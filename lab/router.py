"""The router between OpenStack's flat networks and the rest of the lab, in a network namespace of its own.

Clients come through it, so that Neutron's security groups see their packets: what starts in the bridge's own namespace
passes none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab import layout
from lab.command import run

_UPLINK: Final = "q8s-uplink"


@dataclass(frozen=True)
class _Link:
    """A cable from the lab to the router.

    Attributes:
        outer: the lab's end; Neutron puts it into a bridge, but for the uplink.
        inner: the router's end.
        address: the router's address on it, with the prefix length.
    """

    outer: str
    inner: str
    address: str


def _links() -> tuple[_Link, ...]:
    def flat(outer: str, inner: str, gateway: str, cidr: str) -> _Link:
        return _Link(outer, inner, f"{gateway}/{cidr.split('/')[1]}")

    return (
        _Link(_UPLINK, "uplink", f"{layout.ROUTER_ADDRESS}/{layout.UPLINK_PREFIX}"),
        flat(layout.PROVIDER_LINK, "private", layout.PRIVATE_GATEWAY, layout.PRIVATE_CIDR),
        flat(layout.EXTERNAL_LINK, "external", layout.EXTERNAL_GATEWAY, layout.EXTERNAL_CIDR),
    )


def ensure() -> None:
    """Make what is missing of the router and its links."""
    name = layout.ROUTER
    if not (Path("/run/netns") / name).exists():
        _ip(f"netns add {name}")
        _ip(f"-n {name} link set lo up")
        _ip(f"netns exec {name} sysctl -qw net.ipv4.ip_forward=1")
    for link in _links():
        if not Path("/sys/class/net", link.outer).exists():
            _ip(f"link add {link.outer} type veth peer name {link.inner} netns {name}")
            _ip(f"-n {name} address add {link.address} dev {link.inner}")
            _ip(f"-n {name} link set {link.inner} up")
            _ip(f"link set {link.outer} up")
    _ip(f"address replace {layout.MIRROR_ADDRESS}/{layout.UPLINK_PREFIX} dev {_UPLINK}")
    _ip(f"-n {name} route replace default via {layout.MIRROR_ADDRESS}")
    for cidr in (layout.PRIVATE_CIDR, layout.EXTERNAL_CIDR):
        _ip(f"route replace {cidr} via {layout.ROUTER_ADDRESS}")


def remove() -> None:
    """Take the router and its links away."""
    if (Path("/run/netns") / layout.ROUTER).exists():
        _ip(f"netns delete {layout.ROUTER}")


def _ip(words: str) -> None:
    run("ip", *words.split(), limit=60)
