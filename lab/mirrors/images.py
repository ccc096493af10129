"""The container images that kubeadm, Flannel and the smoke tests pull, and a registry's storage that holds them.

Repositories carry the original path without the registry's host, as containerd asks a mirror for them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from lab import apt
from lab.architectures import GUESTS, go_name, suite
from lab.artifact import Artifact, Builder
from lab.mirrors import binaries, registry
from lab.mirrors.oci import Image, Layer, write_layout
from lab.versions import BUSYBOX
from q8s_infra import versions

_CONTROL_PLANE: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_BASE_PACKAGES: Final = ("busybox-static", "iptables", "conntrack")
# What nobody reads in a container, as patterns of directories.
_LEFT_OUT: Final = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/doc-base"),
    *("usr/lib/*/gconv", "usr/lib/*/audit"),
)
_MERGED: Final = ("bin", "sbin", "lib", "lib64")
# The variant that speaks nftables: what hosts and guests themselves use.
_IPTABLES: Final = tuple(f"{name}{form}" for name in ("iptables", "ip6tables") for form in ("", "-save", "-restore"))
_APPLET_NAMES: Final = """
[ ash awk base64 basename cat chmod chown cp cut date dd df dirname dmesg du echo env expr false find free
grep gunzip gzip head hostname httpd id ifconfig ip kill less ln ls lsmod md5sum mkdir mktemp modprobe more
mount mv nc netstat nproc nslookup od ping ping6 printf ps pwd readlink rm rmdir route sed seq sh sha256sum
sleep sort stat stty sync tail tar tee telnet test time timeout top touch tr traceroute true tty umount uname
uniq uptime vi watch wc wget which whoami xargs yes zcat
"""
_APPLETS: Final = tuple(_APPLET_NAMES.split())
_PASSWD: Final = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"


def _build_base(architectures: Iterable[str], builder: Builder) -> None:
    with tempfile.TemporaryDirectory(prefix="q8s-apt-") as work:
        for architecture in architectures:
            fetched = apt.PrivateApt(Path(work, architecture), architecture, builder)
            fetched.update(apt.suites(suite(architecture))[:1])
            tree = builder.out / architecture
            apt.unpack(builder, fetched.download_closure(_BASE_PACKAGES), tree)
            for left_out in (found for pattern in _LEFT_OUT for found in tree.glob(pattern)):
                shutil.rmtree(left_out)
            # What the packages' scripts would do, base-files' first: they are not run, being another architecture's.
            for folder in (each for each in _MERGED if (tree / "usr" / each).exists()):
                # Up to bookworm, packages have files in both.
                if not (tree / folder).exists():
                    (tree / folder).symlink_to(f"usr/{folder}")
            for name in _IPTABLES:
                (tree / "usr/sbin" / name).unlink(missing_ok=True)
                (tree / "usr/sbin" / name).symlink_to("xtables-nft-multi")
            for applet in _APPLETS:
                link = tree / "bin" / applet
                if not link.exists():
                    link.symlink_to("busybox")
            (tree / "etc/passwd").write_text(_PASSWD)
            (tree / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
            for folder, mode in (("tmp", 0o1777), ("run", 0o755), ("root", 0o700)):
                (tree / folder).mkdir(exist_ok=True)
                (tree / folder).chmod(mode)


def bases(name: str, architectures: Sequence[str]) -> Artifact:
    """A small root file system an architecture: busybox, iptables and conntrack with their libraries."""
    return Artifact(
        name,
        partial(_build_base, architectures),
        pins=(*architectures, *map(suite, architectures)),
        fetches=True,
    )


BASE: Final = bases("image-base", GUESTS)


def _layers(
    built: Mapping[str, Artifact], target: str, name: str, base: Artifact | None = None
) -> Mapping[str, Sequence[Layer]]:
    """One executable, on the base or alone, for each architecture (the OCI's name) that it was built for."""
    layers: dict[str, Sequence[Layer]] = {}
    for architecture, artifact in built.items():
        executable = artifact.path / name
        if executable.exists():
            own = Layer(files={target: executable})
            layers[go_name(architecture)] = [Layer(tree=base.path / architecture), own] if base else [own]
    return layers


def _busybox(
    base: Artifact,
    architectures: Iterable[str],
    *applets: str,
    files: Mapping[str, Mapping[str, Artifact]] | None = None,
) -> Mapping[str, Sequence[Layer]]:
    return {
        go_name(architecture): [
            Layer(
                files={
                    "bin/busybox": base.path / architecture / "bin/busybox",
                    **{name: built[architecture].path / name for name, built in (files or {}).items()},
                },
                links={f"bin/{applet}": "busybox" for applet in applets},
            )
        ]
        for architecture in architectures
    }


def references() -> tuple[str, ...]:
    """Repository and tag of every image, as a client of the registry names them."""
    return tuple(_images([binaries.RELEASE], binaries.BESIDE, BASE))


def _of(release: binaries.Release, base: Artifact) -> Iterator[tuple[str, Image]]:
    """A release's images by their references."""
    for name in _CONTROL_PLANE:
        yield f"{name}:v{release.version}", Image(_layers(release.kubernetes, f"usr/local/bin/{name}", name))
    proxy = _layers(release.kubernetes, "usr/local/bin/kube-proxy", "kube-proxy", base)
    yield f"kube-proxy:v{release.version}", Image(proxy)
    tools = {f"usr/local/bin/{name}": release.etcd["amd64"].path / name for name in ("etcd", "etcdctl", "etcdutl")}
    yield f"etcd:{release.etcd_tag}", Image({"amd64": [Layer(files=tools)]})
    coredns = _layers(release.coredns, "coredns", "coredns")
    yield f"coredns/coredns:v{release.coredns_version}", Image(coredns, entrypoint=["/coredns"])


def _images(releases: Sequence[binaries.Release], beside: binaries.Beside, base: Artifact) -> dict[str, Image]:
    """All images by their references."""
    flannel = _layers(beside.flannel, "opt/bin/flanneld", "flanneld", base)
    plugin = _busybox(base, beside.pause, "cp", "sh", files={"flannel": beside.cni_flannel})
    return {
        f"pause:{versions.PAUSE}": Image(_layers(beside.pause, "pause", "pause"), entrypoint=["/pause"]),
        **dict(found for release in releases for found in _of(release, base)),
        f"flannel/flannel:v{versions.FLANNEL}": Image(flannel, entrypoint=["/opt/bin/flanneld"]),
        f"flannel/flannel-cni-plugin:v{versions.FLANNEL_CNI_PLUGIN}": Image(plugin),
        f"library/busybox:{BUSYBOX}": Image(_busybox(base, beside.pause, *_APPLETS), command=["sh"]),
    }


def _build(releases: Sequence[binaries.Release], beside: binaries.Beside, base: Artifact, builder: Builder) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="q8s-oci-", dir=builder.out.parent) as work,
        registry.running(builder.out, builder.log) as address,
    ):
        for reference, image in _images(releases, beside, base).items():
            layout = Path(work, "image")
            write_layout(image, layout)
            copy = ("skopeo", "--insecure-policy", "copy", "--all", "--dest-tls-verify=false")
            builder.run(*copy, f"oci:{layout}", f"docker://{address}/{reference}")
            shutil.rmtree(layout)


def storage(
    name: str, *releases: binaries.Release, beside: binaries.Beside = binaries.BESIDE, base: Artifact = BASE
) -> Artifact:
    """The storage of a docker-registry that holds all images of releases, and what goes with any."""
    pins = (f"{release.version} {release.etcd_tag} {release.coredns_version}" for release in releases)
    built = {each.key: each for release in releases for each in release.artifacts}
    return Artifact(
        name,
        partial(_build, releases, beside, base),
        pins=(*pins, versions.PAUSE, versions.FLANNEL, versions.FLANNEL_CNI_PLUGIN, BUSYBOX),
        needs=(base, *built.values(), *beside.artifacts),
    )


IMAGES: Final = storage("registry", binaries.RELEASE)

ARTIFACTS: Final = (BASE, IMAGES)
