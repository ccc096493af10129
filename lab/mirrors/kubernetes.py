"""Kubernetes' Debian packages, as the community's repository publishes them, built from the lab's own binaries.

Source of names, paths, dependencies and the repository's flat layout: "Installing kubeadm" of the Kubernetes
documentation and the metadata that its packages show.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from lab.artifact import REPOSITORY, Artifact, Builder
from lab.mirrors import binaries, signing
from lab.versions import CNI_PLUGINS, PACKAGE_REVISION

_UNITS: Final = REPOSITORY / "lab" / "mirrors" / "units"
_CNI_VERSION: Final = f"{CNI_PLUGINS}-{PACKAGE_REVISION}"
_UNIT_FOLDER: Final = "usr/lib/systemd/system"


@dataclass(frozen=True)
class _Package:
    """One package.

    Attributes:
        name: the package's name.
        version: version and revision.
        summary: the description's first line.
        source: the artifacts with the executables, by architecture.
        folder: where they go.
        executables: which of them; all of the directory where empty.
        depends: the control file's field.
        files: further files, target to source.
        architectures: those that the package is made for; all that there are executables for where empty.
    """

    name: str
    version: str
    summary: str
    source: Mapping[str, Artifact]
    folder: str = "usr/bin"
    executables: tuple[str, ...] = ()
    depends: str = ""
    files: Mapping[str, Path] = field(default_factory=dict)
    architectures: tuple[str, ...] = ()


def _of(release: binaries.Release) -> Sequence[_Package]:
    version = f"{release.version}-{PACKAGE_REVISION}"
    return (
        _Package(
            name="kubelet",
            version=version,
            summary="Node agent of Kubernetes",
            source=release.kubernetes,
            executables=("kubelet",),
            depends=f"iptables (>= 1.4.21), mount, util-linux, kubernetes-cni (>= {CNI_PLUGINS})",
            files={
                f"{_UNIT_FOLDER}/kubelet.service": _UNITS / "kubelet.service",
                f"{_UNIT_FOLDER}/kubelet.service.d/10-kubeadm.conf": _UNITS / "10-kubeadm.conf",
            },
        ),
        _Package(
            name="kubeadm",
            version=version,
            summary="Tool that sets up a Kubernetes cluster",
            source=release.kubernetes,
            executables=("kubeadm",),
        ),
        _Package(
            name="kubectl",
            version=version,
            summary="Command-line client of Kubernetes",
            source=release.kubernetes,
            executables=("kubectl",),
            architectures=("amd64",),
        ),
    )


def _build(releases: Iterable[binaries.Release], beside: binaries.Beside, builder: Builder) -> None:
    plugins = _Package(
        name="kubernetes-cni",
        version=_CNI_VERSION,
        summary="Network plugins of the CNI project",
        source=beside.cni_plugins,
        folder="opt/cni/bin",
    )
    for package in (*(package for release in releases for package in _of(release)), plugins):
        for architecture in package.architectures or package.source:
            _make(builder, package, architecture)
    signing.index(builder, builder.out, {})
    fields = {"Origin": "Q8S lab", "Label": "Q8S lab", "Suite": "", "Architectures": " ".join(beside.cni_plugins)}
    signing.sign(builder, builder.out, fields)


def _make(builder: Builder, package: _Package, architecture: str) -> None:
    pool = builder.out / architecture
    pool.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="q8s-deb-") as work:
        tree = Path(work, "tree")
        folder = tree / package.folder
        folder.mkdir(parents=True)
        built = package.source[architecture].path
        for name in package.executables or sorted(each.name for each in built.iterdir()):
            shutil.copy(built / name, folder / name)
        for target, source in package.files.items():
            (tree / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, tree / target)
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text(_control(package, architecture))
        # Packed fast: these packages travel over a virtual cable only.
        builder.run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, pool)


def _control(package: _Package, architecture: str) -> str:
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": architecture,
        "Maintainer": "Q8S lab <root@localhost>",
        "Section": "admin",
        "Priority": "optional",
        "Depends": package.depends,
        "Description": package.summary,
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def repository(name: str, *releases: binaries.Release, beside: binaries.Beside = binaries.BESIDE) -> Artifact:
    """A flat repository of releases: ``Packages``, ``InRelease`` and one directory an architecture."""
    built = (each for release in releases for each in release.kubernetes.values())
    return Artifact(
        name,
        partial(_build, releases, beside),
        files=(_UNITS,),
        pins=(*(f"{release.version}-{PACKAGE_REVISION}" for release in releases), _CNI_VERSION),
        needs=(*built, *beside.cni_plugins.values(), signing.KEY),
    )


PACKAGES: Final = repository("kubernetes-packages", binaries.RELEASE)

ARTIFACTS: Final = (signing.KEY, PACKAGES)
