"""Print new secrets of a cluster as JSON: an SSH key pair for its hosts and a seed for their host keys.

``components/keys.py`` hands the text of this module to another interpreter, so it imports nothing of this package.
"""

from __future__ import annotations

import json
import secrets

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519


def new_keys() -> dict[str, str]:
    """The private key as OpenSSH writes it, the public one as an authorized_keys line, and 32 random bytes in hex."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return {
        "privateKey": private.decode(),
        "publicKey": public.decode(),
        "hostKeySeed": secrets.token_hex(32),
    }


if __name__ == "__main__":
    print(json.dumps(new_keys()))
