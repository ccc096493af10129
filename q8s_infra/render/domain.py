"""libvirt documents of a worker's host: the emulated machine and the link to it.

Source of the elements: libvirt's "Domain XML format" and "Network XML format".
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from q8s_infra.defaults import GUEST_MAC, TRANSLATION_CACHE_MIB, GuestLink

if TYPE_CHECKING:
    from q8s_infra.plan import Worker

GUEST_DIRECTORY = "/var/lib/libvirt/q8s/guest"
CONSOLE_LOG = "/var/log/q8s/console.log"
NETWORK = "q8s"
DOMAIN = "guest"
GICV2_CPUS = 8
"""CPUs that an Arm machine has at most with the interrupt controller that libvirt gives emulated ones by itself."""
DOMAIN_UUID = "3d5f1d8e-6c36-5f0c-9d7b-1f0f7f9c3a51"
"""The same on every host, as the name is: libvirt refuses to resume a domain of others (docs/decisions/0024)."""


def domain_xml(worker: Worker) -> str:
    """The libvirt domain of a worker: always emulated (``type='qemu'``), whatever the host's architecture is (FR4)."""
    node_type, architecture = worker.node_type, worker.architecture
    domain = ET.Element("domain", type="qemu")
    _add(domain, "name", DOMAIN)
    _add(domain, "uuid", DOMAIN_UUID)
    _add(domain, "memory", str(node_type.memory.bytes // 2**10), unit="KiB")
    _add(domain, "vcpu", str(node_type.cpus))

    os = _add(domain, "os")
    _add(os, "type", "hvm", arch=architecture.libvirt, machine=node_type.machine or architecture.default_machine)
    if architecture.firmware_code:
        _add(os, "loader", architecture.firmware_code, readonly="yes", type="pflash")
        _add(os, "nvram", f"{GUEST_DIRECTORY}/nvram.fd", template=architecture.firmware_vars)
    if architecture.boot_loader:
        _add(os, "kernel", architecture.boot_loader)

    features = _add(domain, "features")
    for feature in architecture.features:
        _add(features, feature)
    if architecture.libvirt == "aarch64" and node_type.cpus > GICV2_CPUS:
        _add(features, "gic", version="3")
    tcg = _add(features, "tcg")
    _add(tcg, "tb-cache", str(TRANSLATION_CACHE_MIB), unit="MiB")

    words = tuple(node_type.qemu_args)
    if architecture.libvirt_has_cpus:
        # check='none': models newer than what TCG knows in full start all the same, with fewer features.
        cpu = _add(domain, "cpu", mode="custom", match="exact", check="none")
        _add(cpu, "model", node_type.cpu_model, fallback="forbid")
        _add(cpu, "topology", sockets="1", cores=str(node_type.cpus), threads="1")
    else:
        words = ("-cpu", node_type.cpu_model, *words)

    _add(domain, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "restart")):
        _add(domain, f"on_{event}", action)
    domain.append(_devices(worker))
    if words:
        domain.append(_command_line(words))
    return _text(domain)


def network_xml(link: GuestLink) -> str:
    """The link between host and guest, and the guest's DNS server on it: dnsmasq, which asks the host's own resolvers.

    The host's MTU stands as ``@MTU@``: only the host knows it.
    """
    network = ET.Element("network")
    _add(network, "name", NETWORK)
    # "open": libvirt adds no firewall rules; q8s-forward.service owns them all.
    _add(network, "forward", mode="open")
    _add(network, "bridge", name="q8s0", stp="off", delay="0")
    _add(network, "mtu", size="@MTU@")
    _add(network, "dns", enable="yes")
    _add(network, "ip", address=link.host, netmask=link.netmask)
    # /etc/hosts of a host has its own name at a loopback address, which would be the guest's.
    namespace = "http://libvirt.org/schemas/network/dnsmasq/1.0"
    ET.register_namespace("dnsmasq", namespace)
    options = _add(network, f"{{{namespace}}}options")
    _add(options, f"{{{namespace}}}option", value="no-hosts")
    return _text(network)


def _devices(worker: Worker) -> ET.Element:
    devices = ET.Element("devices")
    _add(devices, "emulator", f"/usr/bin/{worker.architecture.qemu_binary}")
    for target, name, form in (
        ("vda", "root.qcow2", "qcow2"),
        ("vdb", "payload.qcow2", "qcow2"),
        ("vdc", "seed.iso", "raw"),
    ):
        disk = _add(devices, "disk", type="file", device="disk")
        _add(disk, "driver", name="qemu", type=form, cache="writeback", discard="unmap")
        _add(disk, "source", file=f"{GUEST_DIRECTORY}/{name}")
        _add(disk, "target", dev=target, bus="virtio")
        if form == "raw":
            _add(disk, "readonly")
    interface = _add(devices, "interface", type="network")
    _add(interface, "mac", address=GUEST_MAC)
    _add(interface, "source", network=NETWORK)
    _add(interface, "model", type="virtio")
    if worker.architecture.pci:
        # No boot from the network, so no firmware for it.
        _add(interface, "rom", enabled="no")
    for kind in ("serial", "console"):
        port = _add(devices, kind, type="pty")
        if kind == "serial":
            _add(port, "log", file=CONSOLE_LOG, append="on")
        _add(port, "target", port="0", **({"type": "serial"} if kind == "console" else {}))
    # How the host makes the guest a node (q8s_join_guest.py).
    channel = _add(devices, "channel", type="unix")
    _add(channel, "source", mode="bind", path=f"{GUEST_DIRECTORY}/node.sock")
    _add(channel, "target", type="virtio", name="io.q8s.node")
    rng = _add(devices, "rng", model="virtio")
    _add(rng, "backend", "/dev/urandom", model="random")
    _add(devices, "memballoon", model="none")
    return devices


def _command_line(arguments: tuple[str, ...]) -> ET.Element:
    namespace = "http://libvirt.org/schemas/domain/qemu/1.0"
    ET.register_namespace("qemu", namespace)
    command_line = ET.Element(f"{{{namespace}}}commandline")
    for argument in arguments:
        ET.SubElement(command_line, f"{{{namespace}}}arg", value=argument)
    return command_line


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text
    return child


def _text(element: ET.Element) -> str:
    ET.indent(element)
    return ET.tostring(element, encoding="unicode") + "\n"
