#!/usr/bin/env python3
"""Serve images and payloads to the workers' hosts, and keep saved guest states (docs/decisions/0024).

Anyone who reaches the port may read. Requests that change something are signed with a credential (q8s_states.py):
by their method, their path, their body's SHA-256 and a nonce of this server (:func:`q8s_limits.signature`).

- ``GET /PATH``: a file of the folder; ``GET /states/TYPE/KEY/FILE``: one of a state; ``GET /states/nonce``.
- ``POST /states/TYPE/KEY``: claim it. 201: the caller makes it; 409: it exists, or another guest makes it; 507: no
  room.
- ``POST /states/TYPE/KEY/files``: announce all its files, as JSON: ``{NAME: {"size": BYTES, "sha256": HEX}}``.
- ``POST /states/TYPE/done``: the guest gets its identity; the credential is used up for all but the upload of
  what is announced.
- ``PUT /states/TYPE/KEY/FILE``: upload an announced file. With the last one the state is signed, and
  replaces the type's others.
- ``DELETE /states/TYPE/KEY``: release the claim.
- ``POST /states/TYPE/KEY/reports/GENERATION``: it did not resume. 200: it is dropped; 202: noted; 409: one report
  for each guest.

403: the credential is not the guest's, or used up, or the nonce is. 503: busy; ask again after Retry-After.

Arguments: ADDRESS PORT FOLDER STATES KEYFILE
"""

from __future__ import annotations

import hashlib
import hmac
import http.server
import re
import sys
import threading
from http import HTTPStatus
from pathlib import Path

from q8s_limits import RETRY_SECONDS, LimitedHandler, LimitedServer, Nonces, signature
from q8s_states import States

UPLOADS = 8
"""Files that are received at once."""
BODY_BYTES = 4096
"""Of a list of files."""
_TYPE = r"/states/([a-z0-9][a-z0-9.-]*)"
_DONE = re.compile(_TYPE + "/done")
_STATE = re.compile(_TYPE + "/([0-9a-f]{64})")
_FILES = re.compile(_STATE.pattern + "/files")
_REPORT = re.compile(_STATE.pattern + "/reports/([0-9]{1,20})")
_FILE = re.compile(_STATE.pattern + "/([a-z][a-z0-9.]{0,63})")
_GUEST = re.compile("[0-9a-f]{32}")
_CHUNK = 1 << 20


class Handler(LimitedHandler, http.server.SimpleHTTPRequestHandler):
    """Requests; what they are about is the server's."""

    server: Server

    def translate_path(self, path: str) -> str:
        """Return the file of a request's path."""
        states = "/states/"
        if path.startswith(states):
            self.directory, path = str(self.server.states.folder), path.removeprefix(states.rstrip("/"))
        else:
            self.directory = str(self.server.folder)
        return super().translate_path(path)

    def do_GET(self) -> None:
        """Send a file of the folder or of a state, or a nonce."""
        if self.path == "/states/nonce":
            return self._answer(HTTPStatus.OK, self.server.nonces.new())
        if self.path.startswith("/states/") and not _FILE.fullmatch(self.path):
            return self._answer(HTTPStatus.NOT_FOUND)
        file = Path(self.translate_path(self.path))
        self.server.states.used(file)
        self.server.allow(self.connection, file.stat().st_size if file.is_file() else 0)
        return super().do_GET()

    def list_directory(self, _: object) -> None:
        """Say that there is something, and not what."""
        self._answer(HTTPStatus.OK)

    def do_POST(self) -> None:
        """Claim a state, announce its files, report it, or use a credential up."""
        size = self._size()
        if size is None or size > BODY_BYTES:
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body, states = self.rfile.read(size), self.server.states
        claim, files, report, done = (form.fullmatch(self.path) for form in (_STATE, _FILES, _REPORT, _DONE))
        found = claim or files or report or done
        guest = self._guest(found[1], hashlib.sha256(body).hexdigest()) if found else None
        if guest is None or not (done or states.usable(guest)):
            answer = HTTPStatus.FORBIDDEN
        elif claim:
            answer = states.claim(*claim.groups(), guest=guest)
        elif files:
            answer = states.announce(*files.groups(), guest=guest, body=body)
        elif report:
            answer = states.report(*report.groups(), guest=guest)
        else:
            states.use_up(guest)
            answer = HTTPStatus.OK
        return self._answer(answer)

    def do_DELETE(self) -> None:
        """Release a claim."""
        found = _STATE.fullmatch(self.path)
        guest = self._guest(found[1], hashlib.sha256(b"").hexdigest()) if found else None
        if not found or guest is None:
            return self._answer(HTTPStatus.FORBIDDEN)
        released = self.server.states.release(*found.groups(), guest=guest)
        return self._answer(HTTPStatus.OK if released else HTTPStatus.CONFLICT)

    def do_PUT(self) -> None:
        """Receive an announced file."""
        if not self.server.uploads.acquire(blocking=False):
            return self._answer(HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            return self._answer(self._receive())
        finally:
            self.server.uploads.release()

    def _receive(self) -> HTTPStatus:
        found, size, digest = _FILE.fullmatch(self.path), self._size(), self.headers.get("X-Q8s-Sha256", "")
        guest = self._guest(found[1], digest) if found else None
        if not found or size is None or guest is None:
            return HTTPStatus.FORBIDDEN
        written = self.server.states.upload(found[1], found[2], guest, found[3], (size, digest))
        if written is None:
            return HTTPStatus.CONFLICT
        self.server.allow(self.connection, size)
        try:
            if self._written(written, size) != digest:
                return HTTPStatus.BAD_REQUEST
            arrived = self.server.states.arrived(found[1], found[2], guest, found[3], written)
            return HTTPStatus.CREATED if arrived else HTTPStatus.CONFLICT
        finally:
            written.unlink(missing_ok=True)

    def _written(self, path: Path, left: int) -> str:
        """Write the body to a file; its SHA-256."""
        read = hashlib.sha256()
        with path.open("wb") as file:
            while left and (chunk := self.rfile.read(min(left, _CHUNK))):
                file.write(chunk)
                read.update(chunk)
                left -= len(chunk)
        return read.hexdigest()

    def log_message(self, *_: object) -> None:
        """Write no line for each file; the answer says what is wrong."""

    def _size(self) -> int | None:
        """The body's size in bytes, if the request says a valid one."""
        said = self.headers.get("Content-Length", "0")
        return int(said) if re.fullmatch("[0-9]{1,15}", said) else None

    def _guest(self, kind: str, digest: str) -> str | None:
        """The guest of this type that has signed this request, which is no repetition."""
        guest, nonce = self.headers.get("X-Q8s-Guest", ""), self.headers.get("X-Q8s-Nonce", "")
        if not _GUEST.fullmatch(guest):
            return None
        credential = self.server.states.credential(kind, guest)
        signed = signature(credential, self.command, self.path, digest, nonce)
        given = self.headers.get("X-Q8s-Signature", "")
        if not hmac.compare_digest(given.encode(), signed.encode()):
            return None
        return guest if self.server.nonces.use(nonce) else None

    def _answer(self, status: HTTPStatus, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", str(RETRY_SECONDS))
        self.end_headers()
        self.wfile.write(text.encode())


class Server(LimitedServer):
    """Serves a folder and states.

    Args:
        address: host and port.
        folder: what is served.
        states: what is kept.
    """

    def __init__(self, address: tuple[str, int], *, folder: Path, states: States) -> None:
        super().__init__(address, Handler)
        self.folder, self.states, self.nonces = folder, states, Nonces()
        self.uploads = threading.BoundedSemaphore(UPLOADS)


if __name__ == "__main__":
    host, port, folder, states, keyfile = sys.argv[1:]
    Server((host, int(port)), folder=Path(folder), states=States(Path(states), Path(keyfile))).serve_forever()
