"""The certificate authority by which the lab's mirrors are the public servers whose names they bear."""

from __future__ import annotations

from typing import Final

from lab import layout
from lab.artifact import Artifact, Builder

FILES: Final = ("deb.debian.org", "cloud.debian.org", "prod-cdn.packages.k8s.io")
"""Servers of files: Debian's archive and images, and where Kubernetes' packages are."""
SENDING: Final = ("pkgs.k8s.io",)
"""A server that sends its clients on to another one: Kubernetes' packages have this address."""
REGISTRIES: Final = ("registry.k8s.io", "registry-1.docker.io")
"""Servers of container images; the second is where images of ``docker.io`` are."""
NAMES: Final = (*FILES, *SENDING, *REGISTRIES)
"""All that the lab's name server knows, and all that its mirrors have a certificate for."""

AUTHORITY: Final = "authority.crt"
CERTIFICATE: Final = "mirrors.crt"
KEY: Final = "mirrors.key"
_AUTHORITY_KEY: Final = "authority.key"
_DAYS: Final = "3650"


def _build(builder: Builder) -> None:
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", _DAYS)
    signs = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    key, certificate = builder.out / _AUTHORITY_KEY, builder.out / AUTHORITY
    # -x509 says CA:TRUE by itself.
    builder.run(*new, "-subj", "/CN=Q8S lab", *signs, "-keyout", key, "-out", certificate)
    names = ",".join((*(f"DNS:{name}" for name in NAMES), f"IP:{layout.MIRROR_ADDRESS}"))
    serves = ("-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth")
    builder.run(
        *new, "-CA", certificate, "-CAkey", key, "-subj", "/CN=Q8S lab's mirrors",
        "-addext", f"subjectAltName={names}", *serves,
        "-keyout", builder.out / KEY, "-out", builder.out / CERTIFICATE,
    )  # fmt: skip


AUTHORITIES: Final = Artifact("authority", _build, pins=(layout.MIRROR_ADDRESS, *NAMES))
"""Holds :data:`AUTHORITY`, and :data:`CERTIFICATE` with its :data:`KEY`; only their owner reads the keys."""
