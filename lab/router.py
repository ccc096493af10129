"""The router between the private network and the rest of the lab, in a network namespace of its own.

Clients come through it, so that Neutron's security groups see their packets: what starts in the bridge's own namespace
passes none of them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab import layout

_UPLINK = "q8s-uplink"


def ensure() -> None:
    """Make the router unless it is there."""
    name = layout.ROUTER
    prefix = layout.PRIVATE_CIDR.split("/")[1]
    if (Path("/run/netns") / name).exists():
        return
    _ip(f"netns add {name}")
    _ip(f"link add {layout.PROVIDER_LINK} type veth peer name private netns {name}")
    _ip(f"link add {_UPLINK} type veth peer name uplink netns {name}")
    _ip(f"-n {name} link set lo up")
    _ip(f"-n {name} address add {layout.PRIVATE_GATEWAY}/{prefix} dev private")
    _ip(f"-n {name} address add {layout.ROUTER_ADDRESS}/{layout.UPLINK_PREFIX} dev uplink")
    _ip(f"address add {layout.MIRROR_ADDRESS}/{layout.UPLINK_PREFIX} dev {_UPLINK}")
    for link in ("private", "uplink"):
        _ip(f"-n {name} link set {link} up")
    for link in (layout.PROVIDER_LINK, _UPLINK):
        _ip(f"link set {link} up")
    _ip(f"netns exec {name} sysctl -qw net.ipv4.ip_forward=1")
    _ip(f"-n {name} route add default via {layout.MIRROR_ADDRESS}")
    _ip(f"route add {layout.PRIVATE_CIDR} via {layout.ROUTER_ADDRESS}")


def remove() -> None:
    """Take the router and its links away."""
    if (Path("/run/netns") / layout.ROUTER).exists():
        _ip(f"netns delete {layout.ROUTER}")


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)
