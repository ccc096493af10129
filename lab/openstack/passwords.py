"""Passwords of the lab's own accounts: random, made once, kept where only root reads."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lab import files


@dataclass(frozen=True)
class Passwords:
    """One for each kind of account."""

    admin: str
    member: str
    service: str
    database: str
    broker: str
    metadata: str

    @classmethod
    def load(cls, path: Path) -> Passwords:
        """Those in the file, made now if it is not there."""
        if path.exists():
            return cls(**json.loads(path.read_text()))
        made = cls(**{each.name: secrets.token_urlsafe(24) for each in fields(cls)})
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, json.dumps(asdict(made)))
        return made
