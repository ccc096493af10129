"""SSH host keys derived from one secret seed, so that every connection can be pinned and no key is ever sent back.

A derived key is the same on every run: user data that carries it stays stable, and a preview knows the key of a
worker that does not exist yet. ECDSA P-256 in PEM, because that encoding is deterministic (OpenSSH's own is not).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class HostKey:
    """An SSH host key: the private half as PEM, the public half as an authorized_keys line."""

    private: str
    public: str


def derive(seed: str, machine: str) -> HostKey:
    """The host key of a machine.

    Args:
        seed: the stack's secret seed, at least 32 bytes in hex.
        machine: a name that is unique in the stack, such as ``host/demo-x86-small-0``.

    Raises:
        ValueError: the seed is no hex or too short.
    """
    secret = bytes.fromhex(seed)
    if len(secret) < 32:  # noqa: PLR2004 - bytes, as the docstring says
        raise ValueError("a host-key seed has at least 32 bytes")
    # 48 bytes, reduced to the group's order: the bias is below 2^-128 (FIPS 186-5, A.2.1).
    okm = HKDF(hashes.SHA256(), length=48, salt=b"q8s ssh host key", info=machine.encode()).derive(secret)
    scalar = int.from_bytes(okm, "big") % (_P256_ORDER - 1) + 1
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    return HostKey(
        private=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ).decode(),
        public=key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode(),
    )
