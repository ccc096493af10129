"""Kubernetes and what belongs to it, built from published Go modules for the architectures that run it.

Every artifact holds one directory an architecture (Debian's name), with the executables in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from lab.artifact import REPOSITORY, Artifact, Builder, cache_root
from lab.versions import CNI_PLUGINS as CNI_PLUGINS_VERSION
from lab.versions import GO_BUILD_DATE
from q8s_infra import versions

if TYPE_CHECKING:
    from pathlib import Path

ARCHITECTURES: Final = ("amd64", "arm64")

_MODULES: Final = REPOSITORY / "lab" / "go"
_NODE: Final = ("kubeadm", "kubelet", "kube-proxy")
_CONTROL_PLANE: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
_CNI: Final = "github.com/containernetworking/plugins/plugins"
_CNI_PLUGINS: Final = (
    *("ipam/dhcp", "ipam/host-local", "ipam/static"),
    *("main/bridge", "main/dummy", "main/host-device", "main/ipvlan", "main/loopback"),
    *("main/macvlan", "main/ptp", "main/tap", "main/vlan"),
    *("meta/bandwidth", "meta/firewall", "meta/portmap", "meta/sbr", "meta/tuning", "meta/vrf"),
)


def _go_build(
    builder: Builder,
    module: str,
    architecture: str,
    packages: Iterable[str],
    *,
    target: str = "",
    variables: Iterable[str] = (),
    cgo: bool = False,
) -> None:
    """Build static executables into the architecture's directory, each under its package's name or as ``target``."""
    folder = builder.out / architecture
    folder.mkdir(exist_ok=True)
    # Kept in this order: the flags are part of the build cache's key for the link step only.
    flags = ["-s", "-w", *(f"-X {variable}" for variable in variables)]
    if cgo:
        flags.append("-linkmode external -extldflags -static")
    builder.run(
        *("go", "build", "-trimpath", "-buildvcs=false"),
        *("-ldflags", " ".join(flags)),
        *("-o", f"{folder}/{target}"),
        *packages,
        cwd=_MODULES / module,
        env={
            "GOCACHE": str(cache_root() / "go-build"),
            "CGO_ENABLED": "1" if cgo else "0",
            "GOARCH": architecture,
            "GOFLAGS": "",
        },
    )


def _build_kubernetes(builder: Builder) -> None:
    major, minor, _ = versions.KUBERNETES.split(".")
    values = {
        "gitVersion": f"v{versions.KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": GO_BUILD_DATE,
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    variables = [f"{package}.{name}={value}" for package in packages for name, value in values.items()]
    for architecture, names in (("amd64", (*_NODE, *_CONTROL_PLANE)), ("arm64", _NODE)):
        commands = [f"k8s.io/kubernetes/cmd/{name}" for name in names]
        _go_build(builder, "kubernetes", architecture, commands, variables=variables)


def _build_etcd(builder: Builder) -> None:
    _go_build(builder, "etcd", "amd64", ["go.etcd.io/etcd/server/v3"], target="etcd")
    _go_build(builder, "etcd", "amd64", ["go.etcd.io/etcd/etcdctl/v3"], target="etcdctl")


def _build_coredns(builder: Builder) -> None:
    for architecture in ARCHITECTURES:
        _go_build(builder, "coredns", architecture, ["github.com/coredns/coredns"])


def _build_flannel(builder: Builder) -> None:
    variable = f"github.com/flannel-io/flannel/pkg/version.Version=v{versions.FLANNEL}"
    for architecture in ARCHITECTURES:
        # Upstream's udp backend is partly written in C, for amd64 only.
        _go_build(
            builder,
            "flannel",
            architecture,
            ["github.com/flannel-io/flannel"],
            target="flanneld",
            variables=[variable],
            cgo=architecture == "amd64",
        )


def _build_cni_plugins(builder: Builder) -> None:
    variable = f"github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v{CNI_PLUGINS_VERSION}"
    packages = [f"{_CNI}/{name}" for name in _CNI_PLUGINS]
    for architecture in ARCHITECTURES:
        _go_build(builder, "cni-plugins", architecture, packages, variables=[variable])


def _build_cni_flannel(builder: Builder) -> None:
    variable = (
        f"github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v{versions.FLANNEL_CNI_PLUGIN}"
    )
    for architecture in ARCHITECTURES:
        _go_build(builder, "cni-flannel", architecture, [f"{_CNI}/meta/flannel"], variables=[variable])


def _build_pause(builder: Builder) -> None:
    for architecture in ARCHITECTURES:
        _go_build(builder, "pause", architecture, ["."], target="pause")


def _source(module: str) -> tuple[Path]:
    return (_MODULES / module,)


# The recipe's own text is no input, or a word in it would cost a rebuild of everything: what matters is pinned.
_RECIPE: Final = f"recipe 1, {' '.join(ARCHITECTURES)}"

KUBERNETES: Final = Artifact(
    "kubernetes", _build_kubernetes, files=_source("kubernetes"), pins=(_RECIPE, versions.KUBERNETES, GO_BUILD_DATE)
)
ETCD: Final = Artifact("etcd", _build_etcd, files=_source("etcd"), pins=(_RECIPE,))
COREDNS: Final = Artifact("coredns", _build_coredns, files=_source("coredns"), pins=(_RECIPE,))
FLANNEL: Final = Artifact("flannel", _build_flannel, files=_source("flannel"), pins=(_RECIPE, versions.FLANNEL))
CNI_PLUGINS: Final = Artifact(
    "cni-plugins", _build_cni_plugins, files=_source("cni-plugins"), pins=(_RECIPE, CNI_PLUGINS_VERSION, *_CNI_PLUGINS)
)
CNI_FLANNEL: Final = Artifact(
    "cni-flannel", _build_cni_flannel, files=_source("cni-flannel"), pins=(_RECIPE, versions.FLANNEL_CNI_PLUGIN)
)
PAUSE: Final = Artifact("pause", _build_pause, files=_source("pause"), pins=(_RECIPE,))

ARTIFACTS: Final = (KUBERNETES, ETCD, COREDNS, FLANNEL, CNI_PLUGINS, CNI_FLANNEL, PAUSE)
