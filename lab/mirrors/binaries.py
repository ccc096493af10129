"""Kubernetes and what belongs to it, built from published Go modules for the architectures that run it.

Every artifact holds the executables for one architecture (Debian's name).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from lab.architectures import GUESTS, go_name
from lab.artifact import REPOSITORY, Artifact, Builder, cache_root
from lab.versions import CNI_PLUGINS as CNI_PLUGINS_VERSION
from lab.versions import GO_BUILD_DATE
from q8s_infra import versions

_MODULES: Final = REPOSITORY / "lab" / "go"
_NODE: Final = ("kubeadm", "kubelet", "kube-proxy")
_CONTROL_PLANE: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
_CNI: Final = "github.com/containernetworking/plugins/plugins"
_CNI_VERSION: Final = "github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion"
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
    """Build static executables, each under its package's name or as ``target``."""
    # Kept in this order: the flags are part of the build cache's key for the link step only.
    flags = ["-s", "-w", *(f"-X {variable}" for variable in variables)]
    if cgo:
        flags.append("-linkmode external -extldflags -static")
    builder.run(
        *("go", "build", "-trimpath", "-buildvcs=false"),
        *("-ldflags", " ".join(flags)),
        *("-o", f"{builder.out}/{target}"),
        *packages,
        cwd=_MODULES / module,
        env={
            "GOCACHE": str(cache_root() / "go-build"),
            "CGO_ENABLED": "1" if cgo else "0",
            "GOARCH": go_name(architecture),
            "GOFLAGS": "",
        },
    )


def _build_kubernetes(module: str, version: str, architecture: str, builder: Builder) -> None:
    major, minor, _ = version.split(".")
    values = {
        "gitVersion": f"v{version}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": GO_BUILD_DATE,
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    variables = [f"{package}.{name}={value}" for package in packages for name, value in values.items()]
    # Control planes have the lab's own architecture.
    names = (*_NODE, *_CONTROL_PLANE) if architecture == "amd64" else _NODE
    commands = [f"k8s.io/kubernetes/cmd/{name}" for name in names]
    _go_build(builder, module, architecture, commands, variables=variables)


def _build_etcd(module: str, architecture: str, builder: Builder) -> None:
    _go_build(builder, module, architecture, ["go.etcd.io/etcd/server/v3"], target="etcd")
    _go_build(builder, module, architecture, ["go.etcd.io/etcd/etcdctl/v3"], target="etcdctl")
    _go_build(builder, module, architecture, ["go.etcd.io/etcd/etcdutl/v3"], target="etcdutl")


def _build_coredns(module: str, architecture: str, builder: Builder) -> None:
    _go_build(builder, module, architecture, ["github.com/coredns/coredns"])


def _build_flannel(architecture: str, builder: Builder) -> None:
    # Upstream's udp backend is partly written in C, for amd64 only.
    _go_build(
        builder,
        "flannel",
        architecture,
        ["github.com/flannel-io/flannel"],
        target="flanneld",
        variables=[f"github.com/flannel-io/flannel/pkg/version.Version=v{versions.FLANNEL}"],
        cgo=architecture == "amd64",
    )


def _build_cni_plugins(architecture: str, builder: Builder) -> None:
    packages = [f"{_CNI}/{name}" for name in _CNI_PLUGINS]
    variable = f"{_CNI_VERSION}=v{CNI_PLUGINS_VERSION}"
    _go_build(builder, "cni-plugins", architecture, packages, variables=[variable])


def _build_cni_flannel(architecture: str, builder: Builder) -> None:
    variable = f"{_CNI_VERSION}=v{versions.FLANNEL_CNI_PLUGIN}"
    _go_build(builder, "cni-flannel", architecture, [f"{_CNI}/meta/flannel"], variables=[variable])


def _build_pause(architecture: str, builder: Builder) -> None:
    _go_build(builder, "pause", architecture, ["."], target="pause")


def _artifacts(
    module: str,
    build: Callable[[str, Builder], None],
    *pins: str,
    architectures: Iterable[str],
) -> Mapping[str, Artifact]:
    """What is built from a module of ``lab/go``, an artifact an architecture."""
    return {
        architecture: Artifact(
            f"{module}-{architecture}", partial(build, architecture), files=(_MODULES / module,), pins=pins
        )
        for architecture in architectures
    }


def kubernetes(module: str, version: str, architectures: Iterable[str]) -> Mapping[str, Artifact]:
    """Kubernetes' executables, from a module of ``lab/go``."""
    build = partial(_build_kubernetes, module, version)
    return _artifacts(module, build, version, GO_BUILD_DATE, architectures=architectures)


def etcd(module: str, tag: str) -> Mapping[str, Artifact]:
    """Executables of etcd and its tools, from a module of ``lab/go``."""
    return _artifacts(module, partial(_build_etcd, module), tag, architectures=["amd64"])


def coredns(module: str, version: str, architectures: Iterable[str]) -> Mapping[str, Artifact]:
    """CoreDNS, from a module of ``lab/go``."""
    return _artifacts(module, partial(_build_coredns, module), version, architectures=architectures)


@dataclass(frozen=True)
class Release:
    """A release of Kubernetes with what its kubeadm asks for; the executables by architecture.

    Attributes:
        version: of Kubernetes.
        etcd_tag: of etcd's image.
        coredns_version: of CoreDNS.
        kubernetes: Kubernetes' executables.
        etcd: etcd's, and its tools.
        coredns: CoreDNS'.
    """

    version: str
    etcd_tag: str
    coredns_version: str
    kubernetes: Mapping[str, Artifact]
    etcd: Mapping[str, Artifact]
    coredns: Mapping[str, Artifact]

    @property
    def minor(self) -> str:
        """Major and minor version, as package repositories are named by."""
        return self.version.rpartition(".")[0]

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """All that is built for it."""
        return tuple(each for built in (self.kubernetes, self.etcd, self.coredns) for each in built.values())


RELEASE: Final = Release(
    versions.KUBERNETES,
    versions.ETCD,
    versions.COREDNS,
    kubernetes("kubernetes", versions.KUBERNETES, GUESTS),
    etcd("etcd", versions.ETCD),
    coredns("coredns", versions.COREDNS, GUESTS),
)
"""What a cluster gets unless its spec says otherwise."""


@dataclass(frozen=True)
class Beside:
    """What goes with any release; the executables by architecture.

    Attributes:
        flannel: Flannel's.
        cni_plugins: the CNI project's.
        cni_flannel: Flannel's plugin.
        pause: of each pod's first container.
    """

    flannel: Mapping[str, Artifact]
    cni_plugins: Mapping[str, Artifact]
    cni_flannel: Mapping[str, Artifact]
    pause: Mapping[str, Artifact]

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """All of it."""
        kinds = (self.flannel, self.cni_plugins, self.cni_flannel, self.pause)
        return tuple(artifact for built in kinds for artifact in built.values())


def beside(architectures: Iterable[str]) -> Beside:
    """What goes with any release, for architectures."""
    architectures = tuple(architectures)
    return Beside(
        _artifacts("flannel", _build_flannel, versions.FLANNEL, architectures=architectures),
        _artifacts("cni-plugins", _build_cni_plugins, CNI_PLUGINS_VERSION, architectures=architectures),
        _artifacts("cni-flannel", _build_cni_flannel, versions.FLANNEL_CNI_PLUGIN, architectures=architectures),
        _artifacts("pause", _build_pause, architectures=architectures),
    )


BESIDE: Final = beside(GUESTS)
ARTIFACTS: Final = (*RELEASE.artifacts, *BESIDE.artifacts)
