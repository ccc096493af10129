"""Where hosts get their packages and images from, and what checks them: apt sources, keys, registry mirrors."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from q8s_infra.render.proxy import apt_proxy

if TYPE_CHECKING:
    from q8s_infra.spec import AptSource, ClusterSpec, GuestImage
    from q8s_infra.spec.registries import Registry

# Debian and Ubuntu both have both packages, by these names.
_ARCHIVE_KEYRINGS: Final = {
    "debian": ("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    "ubuntu": ("ubuntu-keyring", "/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
}
# Another key than the archive's, in the same package.
_IMAGE_KEYRING: Final = ("ubuntu-keyring", "/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg")
_PULLED: Final = '  capabilities = ["pull", "resolve"]\n'


def apt_files(spec: ClusterSpec, *, kubernetes: bool) -> Mapping[str, str]:
    """The files under ``apt/`` of a step that prepares a host: ``host/*.sources``, ``instead``, ``keys``, ``proxy``.

    With ``instead``, which says nothing, the host's own sources are not used.

    Args:
        spec: the cluster.
        kubernetes: the host gets Kubernetes' own packages.
    """
    used = list(spec.sources.host_apt)
    files = {f"apt/host/q8s-{index}.sources": _deb822(source, _key_path(source)) for index, source in enumerate(used)}
    if kubernetes:
        source = spec.sources.kubernetes_apt_of(spec.kubernetes.version)
        files["apt/host/q8s-kubernetes.sources"] = _deb822(source, _key_path(source))
        used.append(source)
    instead = {"apt/instead": ""} if spec.sources.host_apt else {}
    return {**files, **instead, **_trusted(spec, used)}


def guest_apt_files(spec: ClusterSpec, architecture: str) -> Mapping[str, str]:
    """``guest/*.sources``, ``keys``, ``keyrings`` and ``proxy`` under ``apt/`` of a step that unpacks guests' packages.

    A line of ``keyrings`` is a package and the file in it that a guest's source is checked by.

    Args:
        spec: the cluster.
        architecture: of the guests, its name in the architecture table.
    """
    used = [*spec.sources.guest_apt_of(architecture), spec.sources.kubernetes_apt_of(spec.kubernetes.version)]
    files = {
        f"apt/guest/q8s-{index}.sources": _deb822(source, _key_path(source) or archive_keyring(source)[1])
        for index, source in enumerate(used)
    }
    if unsigned := {source.distribution for source in used if not source.key_url}:
        files["apt/keyrings"] = "".join(f"{' '.join(_ARCHIVE_KEYRINGS[name])}\n" for name in sorted(unsigned))
    return {**files, **_trusted(spec, used)}


def _trusted(spec: ClusterSpec, used: Iterable[AptSource]) -> Mapping[str, str]:
    """``keys``, and where there is a proxy ``proxy``.

    A line of ``keys`` is a file's SHA-256 and its URL; or fingerprints with commas, URL and name under
    ``/etc/apt/keyrings``.
    """
    used = tuple(used)
    proxy = apt_proxy(spec, (source.uri for source in used))
    return {"apt/keys": _keys(used), **({"apt/proxy": proxy} if proxy else {})}


def archive_keyring(source: AptSource) -> tuple[str, str]:
    """What checks packages of a guest's source without a key: a package, and the file in it."""
    return _ARCHIVE_KEYRINGS[source.distribution]


def image_files(image: GuestImage) -> Mapping[str, str]:
    """``image-keyring``, where the image has no checksum: a package, and the file in it that its sums need."""
    return {} if image.sha256 else {"image-keyring": f"{' '.join(_IMAGE_KEYRING)}\n"}


def registry_files(spec: ClusterSpec) -> Mapping[str, str]:
    """The files of containerd's registries, under ``registry/``; those below a registry's folder are secrets.

    ``hosts.toml`` is for all registries, where the spec names a mirror of all. A registry of its own has a folder with
    another, and ``ca.crt`` beside it where it has authorities (containerd's docs/hosts.md).
    """
    mirror = spec.sources.registry_mirror
    files = {"registry/hosts.toml": f'[host."{mirror}"]\n{_PULLED}'} if mirror else {}
    for name, registry in spec.sources.registries.items():
        folder = f"registry/{_registry_folder(name)}"
        files[f"{folder}/hosts.toml"] = _hosts_toml(spec.sources.registry_at(name), registry)
        if registry.ca_certificates:
            files[f"{folder}/ca.crt"] = registry.ca_certificates
    return files


def _registry_folder(name: str) -> str:
    """As containerd looks for it first: with a port's colon written otherwise."""
    host, colon, port = name.partition(":")
    return f"{host}_{port}_" if colon else host


def _hosts_toml(url: str, registry: Registry) -> str:
    """One registry's ``hosts.toml``. In a table of hosts, as containerd before 2 reads no file without one."""
    lines = [f'[host."{url}"]\n', _PULLED]
    if registry.overrides_path:
        lines.append("  override_path = true\n")
    if registry.ca_certificates:
        lines.append('  ca = "ca.crt"\n')
    if registry.secret:
        encoded = base64.b64encode(registry.secret.encode()).decode()
        lines.append(f'  [host."{url}".header]\n    Authorization = "Basic {encoded}"\n')
    return "".join(lines)


def _deb822(source: AptSource, signed_by: str) -> str:
    lines = {
        "Types": "deb",
        "URIs": source.uri,
        "Suites": " ".join(source.suites),
        "Components": " ".join(source.components),
        "Signed-By": signed_by,
    }
    return "".join(f"{field}: {value}\n" for field, value in lines.items() if value)


def _key_name(source: AptSource) -> str:
    """A key's file name: another for another pin; of two URLs with one fingerprint, neither overwrites the other."""
    pin = source.key_sha256 or hashlib.sha256(f"{_fingerprints(source)} {source.key_url}".encode()).hexdigest()
    return f"q8s-{pin[:12]}.asc"


def _key_path(source: AptSource) -> str:
    return f"/etc/apt/keyrings/{_key_name(source)}" if source.key_url else ""


def _fingerprints(source: AptSource) -> str:
    return ",".join(sorted(source.key_fingerprints))


def _keys(sources: Iterable[AptSource]) -> str:
    lines = {
        f"{source.key_sha256} {source.key_url}\n"
        if source.key_sha256
        else f"{_fingerprints(source)} {source.key_url} {_key_name(source)}\n"
        for source in sources
        if source.key_url
    }
    return "".join(sorted(lines))
