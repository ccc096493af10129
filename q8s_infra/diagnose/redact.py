"""Logs without their secrets."""

from __future__ import annotations

import re
from typing import Final

REDACTED: Final = "[removed]"

_NAMED: Final = "client-key-data|certificate[-_]?key|application_credential_secret|secret_?key|password|passwd|token"
_SECRETS: Final = (
    # A bootstrap token keeps its public half, so that it can still be told which one it was.
    (re.compile(r"\b([a-z0-9]{6})\.[a-z0-9]{16}\b"), rf"\1.{REDACTED}"),
    # A log may end in the middle of a key.
    (
        re.compile(r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(?:-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL),
        rf"\1{REDACTED}",
    ),
    (re.compile(rf"((?:{_NAMED})[\"']?\s*[:=]\s*[\"']?)[^\s\"',}}]+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"((?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\1{REDACTED}"),
    (re.compile(r"(X-(?:Auth|Subject)-Token:\s*)\S+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"(--(?:token|certificate-key|password)[ =])\S+"), rf"\1{REDACTED}"),
    (re.compile(r"(https?://[^\s/:@]+:)[^\s/@]+@"), rf"\1{REDACTED}@"),
)


def redacted(text: str) -> str:
    """The text without bootstrap tokens, private keys, passwords, credentials and bearer tokens."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
