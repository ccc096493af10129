"""What hosts and guests are told of the site's proxies (docs/decisions/0016)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from q8s_infra.render.endpoint import endpoint_name
from q8s_infra.render.templates import text

if TYPE_CHECKING:
    from q8s_infra.spec import ClusterSpec

_ALWAYS_DIRECT: Final = ("localhost", "127.0.0.0/8", "169.254.169.254")
"""This machine, and the cloud's metadata."""
_IN_KUBERNETES: Final = (".svc", ".cluster.local")


def environment(spec: ClusterSpec) -> Mapping[str, str]:
    """The variables of the site's proxies; none without a proxy.

    In lower case, which curl and Go both read; curl reads HTTP_PROXY in no other.
    """
    proxies = {"http_proxy": spec.proxy.http, "https_proxy": spec.proxy.for_https}
    given = {name: url for name, url in proxies.items() if url}
    return {**given, "no_proxy": ",".join(_direct(spec))} if given else {}


def proxy_files(spec: ClusterSpec) -> Mapping[str, str]:
    """``proxy.env`` of a step that downloads, where there is a proxy: a line for each variable. A secret."""
    variables = environment(spec)
    return {"proxy.env": "".join(f"{name}={value}\n" for name, value in variables.items())} if variables else {}


def containerd_files(spec: ClusterSpec) -> Mapping[str, str]:
    """``q8s-proxy.conf``, where there is a proxy: the addition to containerd's unit, which reads its proxies."""
    return {"q8s-proxy.conf": text("q8s-proxy.conf")} if spec.proxy else {}


def apt_proxy(spec: ClusterSpec, sources: Iterable[str]) -> str:
    """Apt's configuration, which knows no ranges and domains but only hosts; nothing without a proxy. A secret.

    Args:
        spec: the cluster.
        sources: URLs of all that apt is told to use.
    """
    proxies = {"http": spec.proxy.http, "https": spec.proxy.for_https}
    hosts = {urlsplit(url).hostname or "" for url in sources}
    direct = {host for host in hosts if _is_direct(host, _direct(spec))}
    # The sources of the host's image are not known here, but may be named.
    direct |= {entry for entry in spec.proxy.no_proxy if not entry.startswith(".") and not set(entry) & {"/", ":"}}
    return "".join(
        f'Acquire::{scheme}::Proxy "{url}";\n'
        + "".join(f'Acquire::{scheme}::Proxy::{host} "DIRECT";\n' for host in sorted(direct))
        for scheme, url in proxies.items()
        if url
    )


def _direct(spec: ClusterSpec) -> tuple[str, ...]:
    """What is reached without a proxy: what the user says, and all that is the cluster's own."""
    own = (spec.network.cidr, spec.kubernetes.pod_cidr, spec.kubernetes.service_cidr)
    always = (*_ALWAYS_DIRECT, str(spec.guest_link.cidr), *_IN_KUBERNETES)
    return tuple(dict.fromkeys((*spec.proxy.no_proxy, *always, *map(str, own), endpoint_name(spec))))


def _is_direct(host: str, direct: Iterable[str]) -> bool:
    """Whether a name or address is one of these, in one of these ranges or below one of these domains."""
    domains = [entry.lstrip(".").lower() for entry in direct if "/" not in entry]
    if host in domains or any(host.endswith(f".{domain}") for domain in domains):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in ip_network(entry) for entry in direct if "/" in entry)
