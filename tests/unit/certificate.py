"""Certificates: as an administrator's kubeconfig has one, and a site's own authorities with what they sign."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

EXPIRES = datetime(2037, 11, 25, 13, tzinfo=UTC)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        """The private key."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def context(self, folder: Path) -> ssl.SSLContext:
        """A server's side of TLS, by way of a file in a folder."""
        (folder / "server.pem").write_text(self.pem + self.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        return context


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(_named(issuer), _named(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(EXPIRES - timedelta(days=365 * 20))
        .not_valid_after(EXPIRES)
    )


@cache
def client_certificate_data() -> str:
    """Base64 of its PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _builder("kubernetes-admin", "kubernetes-admin", key).sign(key, SHA256())
    return base64.b64encode(certificate.public_bytes(Encoding.PEM)).decode()


@cache
def authority(name: str) -> Pair:
    """A certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Pair(builder.sign(key, SHA256()), key)


@cache
def server(issuer: str, address: str = "127.0.0.1") -> Pair:
    """That of a server at an address, by an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    builder = _builder("server", issuer, key).add_extension(names, critical=False)
    return Pair(builder.sign(authority(issuer).key, SHA256()), key)
