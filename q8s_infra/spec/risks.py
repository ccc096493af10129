"""What works and is dangerous, or was never tried: warnings, each with its field before a colon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from ipaddress import IPv4Network, collapse_addresses, ip_address
from itertools import chain
from typing import Final
from urllib.parse import urlsplit

from q8s_infra import minors, versions
from q8s_infra.defaults import HOST_PORTS
from q8s_infra.spec.cluster import ClusterSpec

_EVERYBODY: Final = IPv4Network("0.0.0.0/0")
_RESERVED: Final = IPv4Network("240.0.0.0/4")


def warnings(spec: ClusterSpec, today: date) -> tuple[str, ...]:
    """All warnings of a description that has no mistakes, on a day."""
    return tuple(chain(_version(spec, today), _access(spec), _ports(spec), _networks(spec), _urls(spec)))


def _version(spec: ClusterSpec, today: date) -> Iterator[str]:
    version = spec.kubernetes.version
    minor = versions.minor(version)
    tested = [each.name for each in minors.TESTED]
    if minor not in tested:
        yield (
            f"kubernetes.version: {version} was never tested with this program, "
            f"{' and '.join(tested)} were: try it with a cluster that you can lose"
        )
    if versions.numbers(minor) >= minors.NEEDS_CONTAINERD_2:
        yield (
            f"kubernetes.version: upstream has announced that kubelet {minor} does not start with containerd 1 (it "
            "lacks the CRI method RuntimeConfig), and Debian 12 and 13 have containerd 1: see docs/versions.md"
        )
    if ended := minors.no_longer_maintained(minor, today):
        yield (
            f"kubernetes.version: upstream maintained Kubernetes {minor} until {ended.end_of_life}, so {version} gets "
            f"no more security fixes: {_way_out(minors.TESTED[-1], today)}"
        )


def _way_out(newest: minors.Minor, today: date) -> str:
    """What to do about a version that upstream no longer maintains, given the newest that was tested."""
    if minors.no_longer_maintained(newest.name, today):
        return (
            f"{newest.name}, the newest minor version that was tested with this program, was maintained until "
            f"{newest.end_of_life}. Look for a newer release of this program"
        )
    how = "with new clusters" if newest.tested == "made" else "by upgrades only"
    return (
        f"use {newest.name}, the newest minor version that was tested with this program ({how}). How to upgrade a "
        "cluster: docs/operators.md, Versions"
    )


def _access(spec: ClusterSpec) -> Iterator[str]:
    access = spec.access
    if _EVERYBODY in collapse_addresses(access.allowed_cidrs):
        yield (
            "access.allowedCidrs: all of the internet may reach SSH and the API server: name the networks of those "
            "who use the cluster"
        )
    if access.user == "root":
        yield "access.user: most cloud images let no root log in: name the image's own user, such as ubuntu or debian"


def _ports(spec: ClusterSpec) -> Iterator[str]:
    low, high = spec.node_port_range
    if taken := _used(low, high):
        yield (
            f"nodePorts: {spec.node_ports} has ports that nodes use themselves: {taken}. A service that gets one of "
            "them cuts its user off on all nodes: for a new cluster take a range without them, such as 30000-32767 "
            "(a cluster keeps the range that it was made with)"
        )
    if spec.open_ports.cidr != _EVERYBODY:
        return
    for protocol, ranges in (("tcp", spec.open_ports.tcp), ("udp", spec.open_ports.udp)):
        for at, (low, high) in enumerate(ranges):
            if taken := _used(low, high):
                yield f"openPorts.{protocol}.{at}: is open to all of the internet (openPorts.cidr), and it has: {taken}"


def _used(low: int, high: int) -> str:
    return ", ".join(f"{port} ({whose})" for port, whose in HOST_PORTS.items() if low <= port <= high)


def _networks(spec: ClusterSpec) -> Iterator[str]:
    inside = {"kubernetes.podCidr": spec.kubernetes.pod_cidr, "kubernetes.serviceCidr": spec.kubernetes.service_cidr}
    for path, network in inside.items():
        if network.overlaps(_RESERVED):
            yield f"{path}: {network} is of a reserved range (240.0.0.0/4), which not every system and router takes"
        elif network.is_global:
            yield f"{path}: {network} is of public addresses: the machines that have them cannot be reached any more"


def _urls(spec: ClusterSpec) -> Iterator[str]:
    for path, url in _all_urls(spec):
        parts = urlsplit(url)
        if parts.query:
            yield f"{path}: has a query: if that is a signature or a token, it is seen in logs and by all on the hosts"
        if _is_loopback(parts.hostname or ""):
            yield f"{path}: {parts.hostname} is each machine itself, every host and every guest: name the server"


def _all_urls(spec: ClusterSpec) -> Iterator[tuple[str, str]]:
    sources = spec.sources
    apt = [(f"hostApt.{at}", source) for at, source in enumerate(sources.host_apt)]
    apt += [(f"guestApt.{name}.{at}", each) for name, them in sources.guest_apt.items() for at, each in enumerate(them)]
    apt += [("kubernetesApt", sources.kubernetes_apt)] if sources.kubernetes_apt else []
    found: list[tuple[str, str | None]] = [
        *((f"guestImages.{name}.url", image.url) for name, image in spec.guest_images.items()),
        *((f"sources.{path}.uri", source.uri) for path, source in apt),
        *((f"sources.{path}.keyUrl", source.key_url) for path, source in apt),
        ("sources.registryMirror", sources.registry_mirror),
        *((f"sources.registries.{name}.mirror", each.mirror) for name, each in sources.registries.items()),
        ("proxy.http", spec.proxy.http),
        ("proxy.https", spec.proxy.https),
    ]
    return ((path, url) for path, url in found if url)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
