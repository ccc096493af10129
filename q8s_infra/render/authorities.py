"""The site's own certificate authorities, for those who download (docs/decisions/0019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from q8s_infra.spec.certificates import each_certificate

if TYPE_CHECKING:
    from q8s_infra.spec import ClusterSpec

GUEST_FILE: Final = "/etc/ssl/certs/q8s-site.pem"
"""Go's programs trust what is in each file of this folder, beside the system's bundle (crypto/x509, root_linux.go)."""


def authority_files(spec: ClusterSpec) -> Mapping[str, str]:
    """``ca/q8s-site.crt`` and so on of a step that downloads: update-ca-certificates wants one file a certificate."""
    certificates = each_certificate(spec.sources.ca_certificates or "")
    return {f"ca/q8s-site{f'-{at}' if at > 1 else ''}.crt": pem for at, pem in enumerate(certificates, start=1)}


def guest_authority_files(spec: ClusterSpec) -> Mapping[str, str]:
    """The file of a guest where its containerd finds them.

    Nothing is to be run for it: update-ca-certificates writes the whole bundle anew, which takes long under emulation.
    """
    return {GUEST_FILE: spec.sources.ca_certificates} if spec.sources.ca_certificates else {}
