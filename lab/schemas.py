"""The schemas of others that our documents are checked against: cloud-init's and libvirt's, from Debian's packages."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from lab import apt
from lab.artifact import Artifact, Builder
from lab.versions import HOST_SUITE

CLOUD_CONFIG: Final = "usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"
DOMAIN: Final = "usr/share/libvirt/schemas/domain.rng"
NETWORK: Final = "usr/share/libvirt/schemas/network.rng"


def _build(builder: Builder) -> None:
    with tempfile.TemporaryDirectory(prefix="q8s-apt-") as work:
        fetched = apt.PrivateApt(Path(work), "amd64", builder)
        fetched.update(apt.suites(HOST_SUITE))
        apt.unpack(builder, fetched.download(["cloud-init", "libvirt0"]), builder.out)


SCHEMAS: Final = Artifact(name="schemas", build=_build, pins=(HOST_SUITE,))
