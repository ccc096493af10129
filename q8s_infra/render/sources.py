"""Where hosts get their packages and images from: apt sources (deb822), keys, registry mirror, proxy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from q8s_infra.spec import AptSource, ClusterSpec


def apt_files(spec: ClusterSpec, *, guest_architecture: str | None = None) -> Mapping[str, str]:
    """The files under ``apt/`` of a step: ``keys``, ``host/*.sources``, ``guest/*.sources``, ``proxy``.

    Args:
        spec: the cluster.
        guest_architecture: name in the architecture table; with it, the guest's package sources come along.
    """
    host = list(spec.sources.host_apt)
    kubernetes = spec.kubernetes_apt
    files = {f"apt/host/q8s-{index}.sources": _deb822(source) for index, source in enumerate(host)}
    used = [*host, kubernetes]
    if guest_architecture is None:
        files["apt/host/q8s-kubernetes.sources"] = _deb822(kubernetes)
    else:
        guest = list(spec.sources.guest_apt_of(guest_architecture))
        used += guest
        for index, source in enumerate([*guest, kubernetes]):
            files[f"apt/guest/q8s-{index}.sources"] = _deb822(source)
    files["apt/keys"] = _keys(used)
    if spec.proxy.http:
        files["apt/proxy"] = f'Acquire::http::Proxy "{spec.proxy.http}";\n'
    return files


def registry_files(spec: ClusterSpec) -> Mapping[str, str]:
    """The ``hosts.toml`` of containerd for all registries, where the spec names a mirror."""
    mirror = spec.sources.registry_mirror
    if not mirror:
        return {}
    return {"registry/hosts.toml": f'[host."{mirror}"]\n  capabilities = ["pull", "resolve"]\n'}


def _deb822(source: AptSource) -> str:
    lines = {
        "Types": "deb",
        "URIs": source.uri,
        "Suites": " ".join(source.suites),
        "Components": " ".join(source.components),
        "Signed-By": f"/etc/apt/keyrings/q8s-{source.key_sha256[:12]}.asc" if source.key_sha256 else "",
    }
    return "".join(f"{field}: {value}\n" for field, value in lines.items() if value)


def _keys(sources: Iterable[AptSource]) -> str:
    return "".join(sorted({f"{source.key_sha256} {source.key_url}\n" for source in sources if source.key_sha256}))
