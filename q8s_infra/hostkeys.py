"""SSH host keys and what nodes join with, derived from one secret seed: all connections are pinned, none is sent back.

What is derived is the same on every run: a document that carries it stays stable, and a preview knows the key of a
worker that does not exist yet. ECDSA P-256 in PEM, because that encoding is deterministic (OpenSSH's own is not).
"""

from __future__ import annotations

import hashlib
import hmac
import string
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_TOKEN_ALPHABET = string.ascii_lowercase + string.digits
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class HostKey:
    """An SSH host key: the private half as PEM, the public half as an authorized_keys line."""

    private: str
    public: str


def join_token(seed: str, guest: str) -> str:
    """The bootstrap token of a guest, ``[a-z0-9]{6}.[a-z0-9]{16}``: the same on every run, another for another guest.

    Source of the form: "Bootstrap Tokens" of the Kubernetes documentation.

    Args:
        seed: the stack's secret seed, at least 32 bytes in hex.
        guest: all that makes it another guest.

    Raises:
        ValueError: the seed is no hex or too short.
    """
    # 64 bytes make the bias of 22 characters out of 36 negligible.
    number = int.from_bytes(_derived(seed, "q8s bootstrap token", guest, length=64), "big")
    characters = []
    for _ in range(22):
        number, place = divmod(number, len(_TOKEN_ALPHABET))
        characters.append(_TOKEN_ALPHABET[place])
    return f"{''.join(characters[:6])}.{''.join(characters[6:])}"


def machine_id(seed: str, guest: str) -> str:
    """What tells a guest's system from all others, 16 bytes in hex, as machine-id(5) has it.

    Args:
        seed: the stack's secret seed, at least 32 bytes in hex.
        guest: all that makes it another guest.

    Raises:
        ValueError: the seed is no hex or too short.
    """
    return _derived(seed, "q8s machine id", guest, length=16).hex()


def certificate_key(seed: str, node: str) -> str:
    """The key that a joining control plane's certificates are handed over by, 32 bytes in hex.

    Source of the form: ``kubeadm certs certificate-key``, an AES-256 key.

    Args:
        seed: the stack's secret seed, at least 32 bytes in hex.
        node: all that makes it another node.

    Raises:
        ValueError: the seed is no hex or too short.
    """
    return _derived(seed, "q8s certificate key", node, length=32).hex()


def snapshot_key(seed: str) -> bytes:
    """The key that snapshots of a stack's cluster are sealed with, 32 bytes.

    Args:
        seed: the stack's secret seed, at least 32 bytes in hex.

    Raises:
        ValueError: the seed is no hex or too short.
    """
    return _derived(seed, "q8s snapshot", "", length=32)


def snapshot_file_key(seed: str, salt: bytes) -> bytes:
    """The key of one snapshot file, 32 bytes: no two files share one, so their chunks can't be exchanged.

    Args:
        seed: the stack's secret seed, at least 32 bytes in hex.
        salt: of this file, random.

    Raises:
        ValueError: the seed is no hex or too short.
    """
    return _derived(seed, "q8s snapshot file", salt.hex(), length=32)


def states_key(seed: str) -> str:
    """The key in PEM that the first control plane signs states of guests with; it checks guests' credentials by it.

    Args:
        seed: the stack's secret seed, at least 32 bytes in hex.

    Raises:
        ValueError: the seed is no hex or too short.
    """
    return _pem(_ecdsa(seed, "q8s states signing key", ""))


def states_public_key(seed: str) -> str:
    """The key in PEM that workers' hosts verify states of guests with.

    Args:
        seed: the stack's secret seed, at least 32 bytes in hex.

    Raises:
        ValueError: the seed is no hex or too short.
    """
    public = _ecdsa(seed, "q8s states signing key", "").public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def states_credential(seed: str, kind: str, guest: str) -> str:
    """By which a guest may make one state: its identifier and its credential, a line each (hostscripts/q8s_states.py).

    Args:
        seed: the stack's secret seed, at least 32 bytes in hex.
        kind: the guest's type, which the credential is good for.
        guest: all that makes it another guest.

    Raises:
        ValueError: the seed is no hex or too short.
    """
    identifier = hashlib.sha256(guest.encode()).hexdigest()[:32]
    message = f"q8s state credential {kind} {identifier}".encode()
    return f"{identifier}\n{hmac.new(states_key(seed).strip().encode(), message, 'sha256').hexdigest()}\n"


def derive(seed: str, machine: str) -> HostKey:
    """The host key of a machine.

    Args:
        seed: the stack's secret seed, at least 32 bytes in hex.
        machine: a name that is unique in the stack, such as ``host/demo-x86-small-0``.

    Raises:
        ValueError: the seed is no hex or too short.
    """
    key = _ecdsa(seed, "q8s ssh host key", machine)
    return HostKey(
        private=_pem(key),
        public=key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode(),
    )


def _ecdsa(seed: str, salt: str, info: str) -> ec.EllipticCurvePrivateKey:
    # 48 bytes, reduced to the group's order: the bias is below 2^-128 (FIPS 186-5, A.2.1).
    okm = _derived(seed, salt, info, length=48)
    return ec.derive_private_key(int.from_bytes(okm, "big") % (_P256_ORDER - 1) + 1, ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def _derived(seed: str, salt: str, info: str, *, length: int) -> bytes:
    secret = bytes.fromhex(seed)
    if len(secret) < 32:  # noqa: PLR2004 - bytes, as the docstrings say
        raise ValueError("a seed has at least 32 bytes")
    return HKDF(hashes.SHA256(), length=length, salt=salt.encode(), info=info.encode()).derive(secret)
