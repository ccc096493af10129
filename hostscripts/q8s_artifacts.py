#!/usr/bin/env python3
"""Serves what guests are made of to the workers' hosts, and keeps states of guests for them (docs/decisions/0024).

Whoever reaches the port may read. Writing is for who has the cluster's key: a request is signed with it, by its method,
its path and its body (:func:`signature`).

- ``GET /PATH``: a file of the folder; ``GET /states/TYPE/KEY/FILE``: one of a state.
- ``POST /states/TYPE/KEY``: may the caller make it? 201 with a claim; 409 where it is there by now, or somebody else
  makes it; 507 without room.
- ``PUT /states/TYPE/KEY/CLAIM/FILE``: a file of it. The manifest comes last: the state is there then, all at once, and
  those of the type that are older go.
- ``DELETE /states/TYPE/KEY/CLAIM``: the caller does not make it after all.
- ``DELETE /states/TYPE/KEY``: it is not what it should be.

Arguments: ADDRESS PORT FOLDER STATES KEYFILE
"""

from __future__ import annotations

import hashlib
import hmac
import http.server
import os
import re
import secrets
import shutil
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

MANIFEST = "manifest.json"
CLAIM_SECONDS = 900
"""As long as a slow host may take to boot a guest; then somebody else may make it."""
SILENT_SECONDS = 120
"""After this a connection on which nothing moves is closed."""
SPARE_MIB = 4096
"""Stays free beside a state: etcd is on this disk."""
UNUSED_SECONDS = 86400
"""A state that nobody has asked for in so long makes room for another one: its type may be no more."""
_STATE = re.compile(r"/states/([a-z0-9][a-z0-9.-]*)/([0-9a-f]{64})")
_CLAIM = re.compile(_STATE.pattern + r"/([0-9a-f]{16})")
_PART = re.compile(_CLAIM.pattern + r"/([a-z][a-z0-9.]*)")
_NOTHING = hashlib.sha256(b"").hexdigest()
_CHUNK = 1 << 20


def signature(key: bytes, method: str, path: str, digest: str) -> str:
    """HMAC-SHA256 of a request whose body has this SHA-256."""
    return hmac.new(key, f"{method} {path} {digest}".encode(), "sha256").hexdigest()


@dataclass
class States:
    """Those that are there, and who makes one.

    Attributes:
        folder: a folder for each type, in it one for each state; parts are in hidden ones.
    """

    folder: Path
    _claims: dict[str, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        # Nobody has a claim to what an earlier run left.
        for part in self.folder.glob("*/.*"):
            shutil.rmtree(part)

    def claim(self, kind: str, key: str) -> str | None:
        """The right to make a state, where it is not there and nobody else has it."""
        now = time.monotonic()
        with self._lock:
            _, until = self._claims.get(key, ("", now))
            if until > now or (self.folder / kind / key).exists():
                return None
            claim = secrets.token_hex(8)
            self._claims[key] = claim, now + CLAIM_SECONDS
        (self.folder / kind).mkdir(exist_ok=True)
        return claim

    def part(self, kind: str, key: str, claim: str) -> Path | None:
        """Where the files of a claim go, if it is one."""
        with self._lock:
            if self._claims.get(key, ("", 0.0))[0] != claim:
                return None
        part = self.folder / kind / f".{claim}"
        part.mkdir(exist_ok=True)
        return part

    def leave(self, kind: str, key: str, claim: str) -> bool:
        """Give a claim back, if it is one."""
        part = self.part(kind, key, claim)
        if part is None:
            return False
        with self._lock:
            del self._claims[key]
        shutil.rmtree(part)
        return True

    def drop(self, kind: str, key: str) -> None:
        """The state goes, if it is there."""
        shutil.rmtree(self.folder / kind / key, ignore_errors=True)

    def used(self, path: Path) -> None:
        """Somebody goes on from the state whose manifest this is."""
        if path.name == MANIFEST:
            with suppress(FileNotFoundError):
                os.utime(path)

    def make_room(self, size: int) -> bool:
        """Whether so many bytes fit beside what stays free, where need be without what nobody uses."""
        with self._lock:
            manifests = self.folder.glob(f"[!.]*/[!.]*/{MANIFEST}")
            used = sorted((path.stat().st_mtime, path.parent) for path in manifests)
            for last, state in used:
                if self._fits(size) or last > time.time() - UNUSED_SECONDS:
                    break
                shutil.rmtree(state, ignore_errors=True)
            return self._fits(size)

    def _fits(self, size: int) -> bool:
        return shutil.disk_usage(self.folder).free >= size + (SPARE_MIB << 20)

    def whole(self, kind: str, key: str, part: Path) -> None:
        """The state is there; the others of its type go, whole ones and parts."""
        for other in (self.folder / kind).iterdir():
            if other != part:
                shutil.rmtree(other)
        with self._lock:
            part.rename(self.folder / kind / key)
            del self._claims[key]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Requests; what it serves is its server's."""

    server: Server
    timeout = SILENT_SECONDS

    def translate_path(self, path: str) -> str:
        """The file of a request's path."""
        states = "/states/"
        if path.startswith(states):
            self.directory, path = str(self.server.states.folder), path.removeprefix(states.rstrip("/"))
        else:
            self.directory = str(self.server.folder)
        return super().translate_path(path)

    def do_GET(self) -> None:
        """A file, of the folder or of a state."""
        self.server.states.used(Path(self.translate_path(self.path)))
        super().do_GET()

    def list_directory(self, _: object) -> None:
        """Says that there is something, and not what."""
        self._answer(HTTPStatus.OK)

    def do_POST(self) -> None:
        """A claim to make a state."""
        found = _STATE.fullmatch(self.path)
        if not found or not self._signed(_NOTHING):
            return self._answer(HTTPStatus.FORBIDDEN)
        if not self.server.states.make_room(0):
            return self._answer(HTTPStatus.INSUFFICIENT_STORAGE)
        claim = self.server.states.claim(*found.groups())
        return self._answer(HTTPStatus.CREATED if claim else HTTPStatus.CONFLICT, claim or "")

    def do_DELETE(self) -> None:
        """A state goes, or a claim is given back."""
        state, claim = _STATE.fullmatch(self.path), _CLAIM.fullmatch(self.path)
        if not (state or claim) or not self._signed(_NOTHING):
            return self._answer(HTTPStatus.FORBIDDEN)
        if state:
            self.server.states.drop(*state.groups())
        elif claim and not self.server.states.leave(*claim.groups()):
            return self._answer(HTTPStatus.CONFLICT)
        return self._answer(HTTPStatus.OK)

    def do_PUT(self) -> None:
        """A file of a state."""
        found, digest = _PART.fullmatch(self.path), self.headers.get("X-Q8s-Sha256", "")
        if not found or not self._signed(digest):
            return self._answer(HTTPStatus.FORBIDDEN)
        kind, key, claim, name = found.groups()
        part = self.server.states.part(kind, key, claim)
        if part is None:
            return self._answer(HTTPStatus.CONFLICT)
        left, read = int(self.headers.get("Content-Length", 0)), hashlib.sha256()
        if not self.server.states.make_room(left):
            return self._answer(HTTPStatus.INSUFFICIENT_STORAGE)
        with (part / name).open("wb") as file:
            while left and (chunk := self.rfile.read(min(left, _CHUNK))):
                file.write(chunk)
                read.update(chunk)
                left -= len(chunk)
        if read.hexdigest() != digest:
            (part / name).unlink()
            return self._answer(HTTPStatus.BAD_REQUEST)
        if name == MANIFEST:
            self.server.states.whole(kind, key, part)
        return self._answer(HTTPStatus.CREATED)

    def log_message(self, *_: object) -> None:
        """Not a line for each file; what goes wrong is an answer to who asks."""

    def _signed(self, digest: str) -> bool:
        """Whether who asks has the cluster's key."""
        given = self.headers.get("X-Q8s-Signature", "")
        return hmac.compare_digest(given, signature(self.server.key, self.command, self.path, digest))

    def _answer(self, status: HTTPStatus, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status != HTTPStatus.CREATED and self.command == "PUT":
            # What it sends is not read to its end.
            self.close_connection = True
        self.end_headers()
        self.wfile.write(text.encode())


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder and states.

    Args:
        address: host and port.
        folder: what is served.
        states: what is kept.
        key: of who may write.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], *, folder: Path, states: States, key: bytes) -> None:
        super().__init__(address, Handler)
        self.folder, self.states, self.key = folder, states, key


if __name__ == "__main__":
    host, port, folder, states, keyfile = sys.argv[1:]
    Server(
        (host, int(port)),
        folder=Path(folder),
        states=States(Path(states)),
        key=Path(keyfile).read_bytes().strip(),
    ).serve_forever()
