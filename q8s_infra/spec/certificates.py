"""Certificates of a site's own authorities, as a description has them."""

from __future__ import annotations

import re
from typing import Annotated, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import AfterValidator, WithJsonSchema

_BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----", re.ASCII)


def each_certificate(pem: str) -> tuple[str, ...]:
    """The certificates of a text, one by one."""
    return tuple(f"{block}\n" for block in _BLOCK.findall(pem))


def _authorities(given: str) -> str:
    """Certificates in one form, each once: what is between them and how their lines are broken is no change."""
    if "PRIVATE KEY" in given:
        raise ValueError("has a private key, and only certificates go here: an authority's key stays where it is")
    if not given.strip() or _BLOCK.sub("", given).strip():
        raise ValueError(
            "one or more certificates, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, "
            "and nothing else"
        )
    return "".join(dict.fromkeys(_authority(at, pem) for at, pem in enumerate(each_certificate(given), start=1)))


def _authority(at: int, pem: str) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except (ValueError, x509.InvalidVersion):
        raise ValueError(f"certificate {at} is damaged: each is to be as its authority publishes it, in PEM") from None
    if not _signs(certificate):
        raise ValueError(
            f"certificate {at} ({certificate.subject.rfc4514_string()}) is no authority's, by its basic constraints: "
            "give that of the authority which signed it"
        )
    return certificate.public_bytes(Encoding.PEM).decode()


def _signs(certificate: x509.Certificate) -> bool:
    """Whether it is an authority's; to curl, apt and Go no other can have signed anything."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.DuplicateExtension, x509.ExtensionNotFound):
        return False


Authorities = Annotated[
    str, AfterValidator(_authorities), WithJsonSchema({"type": "string", "format": "pem-certificates"})
]
