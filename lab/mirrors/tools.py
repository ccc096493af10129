"""Kubernetes executables for this machine itself: the client, and what tests run a small API server with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from lab.mirrors import binaries

_KUBERNETES, _ETCD = binaries.RELEASE.kubernetes["amd64"], binaries.RELEASE.etcd["amd64"]
_TOOLS: Final = {
    "kubectl": _KUBERNETES,
    "kube-apiserver": _KUBERNETES,
    "kube-controller-manager": _KUBERNETES,
    "etcd": _ETCD,
    "etcdctl": _ETCD,
}
ARTIFACTS: Final = (_KUBERNETES, _ETCD)


def install(bin_dir: Path) -> None:
    """Link the executables into a directory, replacing what is there; builds them where they are not built.

    Args:
        bin_dir: made if it is not there.

    Raises:
        BuildError: a build failed.
    """
    bin_dir.mkdir(parents=True, exist_ok=True)
    for artifact in ARTIFACTS:
        artifact.ensure()
    for name, artifact in _TOOLS.items():
        fresh = bin_dir / f".{name}.{os.getpid()}"
        fresh.symlink_to(artifact.path / name)
        fresh.replace(bin_dir / name)
