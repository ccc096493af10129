"""The commands that give a host its network: a namespace, and a veth whose outer end Neutron's agent filters."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Nic:
    """One Neutron port of a host.

    Attributes:
        device: name inside the host (``eth0``).
        tap: name of the outer end, as Neutron's agent expects it (``tap`` and the first 11 characters of the port id).
        bridge: the bridge of the port's network.
        mac: the port's MAC address.
        mtu: the network's MTU in bytes.
        addresses: the port's addresses with prefix length (``10.254.1.10/24``).
        gateway: address of the default gateway, on the first port only.
    """

    device: str
    tap: str
    bridge: str
    mac: str
    mtu: int
    addresses: tuple[str, ...] = ()
    gateway: str | None = None


def namespace_commands(namespace: str) -> list[list[str]]:
    """Make a host's network namespace, with nothing but the loopback in it."""
    return [
        ["ip", "netns", "add", namespace],
        ["ip", "-n", namespace, "link", "set", "lo", "up"],
    ]


def bridge_commands(nic: Nic) -> list[list[str]]:
    """Make the bridge of the port's network, where Neutron's agent has not done so yet."""
    return [
        ["ip", "link", "add", nic.bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0"],
        ["ip", "link", "set", nic.bridge, "up"],
    ]


def plug_commands(namespace: str, nic: Nic) -> list[list[str]]:
    """Give the host a port: interface, addresses and route, and at last its place on the bridge."""
    mtu = str(nic.mtu)
    inner = ["peer", "name", nic.device, "address", nic.mac, "mtu", mtu, "netns", namespace]
    inside = ["ip", "-n", namespace]
    commands = [["ip", "link", "add", nic.tap, "mtu", mtu, "type", "veth", *inner]]
    commands += [[*inside, "address", "add", address, "dev", nic.device] for address in nic.addresses]
    commands.append([*inside, "link", "set", nic.device, "up"])
    if nic.gateway:
        commands.append([*inside, "route", "replace", "default", "via", nic.gateway, "dev", nic.device])
    commands.append(["ip", "link", "set", nic.tap, "master", nic.bridge, "up"])
    return commands


def unplug_command(tap: str) -> list[str]:
    """Take a port away; the inner end goes with the outer."""
    return ["ip", "link", "delete", tap]
