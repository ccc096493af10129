#!/usr/bin/env python3
"""Exchange saved guest states between a worker's host and the first control plane, which keeps them (q8s_artifacts.py).

A state is some files: the guest's memory, as libvirt saves it, and the disks that belong to it. Its manifest has their
sizes and checksums, and which state it is; the control plane has signed it, and a host trusts nothing else.

Commands: the result is the exit code, and a line for people on standard output.
    find FOLDER     download the state into a new folder. 0: done; 10: there is none, and this host has the claim to
                    make it; 11: there is none to be had.
    get FOLDER      the same, without a claim: 0 or 11.
    check FOLDER    0: these files are this state, as the control plane signed it; 11: they are not.
    announce FOLDER say which files the state has, which this host has the claim for.
    give FOLDER     upload them.
    leave           release the claim.
    report FOLDER   it did not resume. 10: it is dropped, and this host has the claim to make another; 11: it stays.
    done            use this guest's credential up, before the guest gets its identity.
Environment: SERVER (URL), TYPE, KEY (the state's), KEYS: a folder with states.pem (the control plane's public key) and,
for all that changes something, states.key (the guest's identifier and its credential, a line each)
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from q8s_signed_state import CHUNK, MANIFEST, NoState, checksum, compare, generation, verified

MAKE, NONE = 10, 11
SILENT_SECONDS = 20
"""How long a server that does not answer, or is busy, is asked again."""
MAKING_SECONDS = 300
"""How long another host that makes the state is waited for."""
POLL_SECONDS = 2.0
LIMIT_SECONDS = 60
MANIFEST_BYTES = 1 << 16
_ANNOUNCED = ".announced"
"""In the state's folder: what was announced."""
_NO_ANSWER = (OSError, http.client.HTTPException)


class Busy(OSError):
    """The server has too many connections."""


@dataclass(frozen=True)
class Server:
    """The first control plane's.

    Attributes:
        url: of all that it serves.
        kind: the guest's type.
        key: the state's.
        public: file of the key that manifests are verified with.
        guest: the guest's identifier.
        credential: what its requests are signed with.
    """

    url: str
    kind: str
    key: str
    public: Path
    guest: str = ""
    credential: bytes = b""

    @property
    def name(self) -> str:
        """The state's, as its manifest has it."""
        return f"{self.kind}/{self.key}"

    @property
    def state(self) -> str:
        """The state's path."""
        return f"/states/{self.name}"

    @contextmanager
    def asked(
        self, method: str, path: str, body: BinaryIO | None = None, *, digest: str = "", size: int = 0
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request, signed unless it only reads.

        Raises:
            OSError, http.client.HTTPException: no answer.
            NoState: the server has no nonces.
        """
        headers = {}
        if method != "GET":
            digest = digest or hashlib.sha256(b"").hexdigest()
            nonce = self._nonce()
            words = f"{method} {path} {digest} {nonce}".encode()
            headers = {
                "Content-Length": str(size),
                "X-Q8s-Guest": self.guest,
                "X-Q8s-Nonce": nonce,
                "X-Q8s-Sha256": digest,
                "X-Q8s-Signature": hmac.new(self.credential, words, "sha256").hexdigest(),
            }
        link = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=LIMIT_SECONDS)
        try:
            link.request(method, path, body=body, headers=headers)
            with link.getresponse() as answer:
                if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
                    raise Busy("it is busy")
                yield answer
        finally:
            link.close()

    def _nonce(self) -> str:
        with self.asked("GET", "/states/nonce") as answer:
            if answer.status == HTTPStatus.OK:
                return answer.read(1024).decode("ascii", "replace")
        raise NoState("the first control plane serves an earlier release's states: pulumi up brings it up to date")


def find(server: Server, folder: Path) -> bool:
    """Download the state into a folder; waits for another host that makes it.

    Returns:
        Whether it is there; else this host has the claim to make it.

    Raises:
        NoState: with the reason.
    """
    silent_until = time.monotonic() + SILENT_SECONDS
    made_until = time.monotonic() + MAKING_SECONDS
    while True:
        try:
            if _downloaded(server, folder):
                return True
            if _claimed(server):
                return False
            if time.monotonic() > made_until:
                raise NoState(f"another host has not made it within {MAKING_SECONDS} s")
            silent_until = time.monotonic() + SILENT_SECONDS
        except _NO_ANSWER as error:
            if time.monotonic() > silent_until:
                raise NoState(f"the first control plane does not answer: {error}") from error
        time.sleep(POLL_SECONDS)


def get(server: Server, folder: Path) -> None:
    """Download the state into a folder.

    Raises:
        NoState: with the reason.
    """
    if not _repeated(lambda: _downloaded(server, folder)):
        raise NoState("no guest of this type has left one for the QEMU of this host")


def check(server: Server, folder: Path) -> None:
    """Check that files are this state, as the control plane signed it.

    Raises:
        NoState: they are not.
    """
    try:
        for name, each in verified(server.public, server.name, (folder / MANIFEST).read_bytes()).items():
            compare(name, each["sha256"], checksum(folder / name))
    except OSError as error:
        raise NoState(f"it is incomplete: {error}") from error


def announce(server: Server, folder: Path) -> None:
    """Say which files the state has: nothing else can be uploaded from then on.

    Raises:
        NoState: it is not accepted.
    """
    files = {
        path.name: {"size": path.stat().st_size, "sha256": checksum(path)}
        for path in folder.iterdir()
        if path.name != _ANNOUNCED
    }
    body = json.dumps(files).encode()
    (folder / _ANNOUNCED).write_bytes(body)
    _changed(server, "POST", f"{server.state}/files", HTTPStatus.CREATED, body)


def give(server: Server, folder: Path) -> None:
    """Upload what was announced.

    Raises:
        NoState: it is not accepted.
    """

    def put(name: str, size: int, digest: str) -> None:
        with (
            (folder / name).open("rb") as body,
            server.asked("PUT", f"{server.state}/{name}", body, digest=digest, size=size) as answer,
        ):
            _expect(answer, HTTPStatus.CREATED)

    for name, each in json.loads((folder / _ANNOUNCED).read_text()).items():
        _repeated(partial(put, name, each["size"], each["sha256"]))


def leave(server: Server) -> None:
    """Let another host make it, now.

    Raises:
        NoState: the claim is not released, and ends by itself.
    """
    _changed(server, "DELETE", server.state, HTTPStatus.OK)


def report(server: Server, folder: Path) -> bool:
    """Say that the state in a folder did not resume.

    Returns:
        Whether it is dropped and this host has the claim to make another; else it stays until another guest says so.

    Raises:
        NoState: the report is not accepted.
    """
    path = f"{server.state}/reports/{generation(folder)}"

    def reported() -> bool:
        with server.asked("POST", path) as answer:
            if answer.status == HTTPStatus.ACCEPTED:
                return False
            _expect(answer, HTTPStatus.OK)
        return _claimed(server)

    return bool(_repeated(reported))


def done(server: Server) -> None:
    """Use this guest's credential up.

    Raises:
        NoState: it is not, and ends by itself.
    """
    _changed(server, "POST", f"/states/{server.kind}/done", HTTPStatus.OK)


def _changed(server: Server, method: str, path: str, expected: HTTPStatus, body: bytes = b"") -> None:
    def ask() -> None:
        digest = hashlib.sha256(body).hexdigest()
        with server.asked(method, path, io.BytesIO(body), digest=digest, size=len(body)) as answer:
            _expect(answer, expected)

    _repeated(ask)


def _repeated(ask: Any) -> Any:
    """Ask again where there is no answer.

    Raises:
        NoState: there is none within SILENT_SECONDS.
    """
    until = time.monotonic() + SILENT_SECONDS
    while True:
        try:
            return ask()
        except _NO_ANSWER as error:
            if time.monotonic() > until:
                raise NoState(f"the first control plane does not answer: {error}") from error
        time.sleep(POLL_SECONDS)


def _expect(answer: http.client.HTTPResponse, status: HTTPStatus) -> None:
    if answer.status == HTTPStatus.INSUFFICIENT_STORAGE:
        raise NoState("the first control plane has no room for one")
    if answer.status == HTTPStatus.FORBIDDEN:
        raise NoState("the first control plane does not accept this guest's credential (it is used up, or expired)")
    if answer.status != status:
        raise NoState(f"the first control plane answers {answer.status} {answer.reason}")


def _claimed(server: Server) -> bool:
    with server.asked("POST", server.state) as answer:
        if answer.status == HTTPStatus.CONFLICT:
            return False
        _expect(answer, HTTPStatus.CREATED)
        return True


def _downloaded(server: Server, folder: Path) -> bool:
    with server.asked("GET", f"{server.state}/{MANIFEST}") as answer:
        if answer.status != HTTPStatus.OK:
            return False
        text = answer.read(MANIFEST_BYTES)
    files = verified(server.public, server.name, text)
    part = folder.with_name(f".{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(0o711, parents=True)
    (part / MANIFEST).write_bytes(text)
    for name, each in files.items():
        with server.asked("GET", f"{server.state}/{name}") as answer, (part / name).open("wb") as file:
            # Not more than is signed: who answers might never end.
            left, read = int(each["size"]), hashlib.sha256()
            while left and (chunk := answer.read(min(left, CHUNK))):
                file.write(chunk)
                read.update(chunk)
                left -= len(chunk)
        compare(name, each["sha256"], read.hexdigest())
    part.rename(folder)
    return True


def _known() -> Server:
    keys, env = Path(os.environ["KEYS"]), os.environ
    own = keys / "states.key"
    guest, credential = own.read_text().split() if own.exists() else ("", "")
    return Server(env["SERVER"], env["TYPE"], env.get("KEY", ""), keys / "states.pem", guest, credential.encode())


def main(command: str, *words: str) -> int:
    """Do what is asked for; the exit code."""
    does: Any = {each.__name__: each for each in (find, get, check, announce, give, leave, report, done)}[command]
    try:
        result = does(_known(), *(Path(word) for word in words))
    except NoState as reason:
        print(reason)
        return NONE
    if command == "find":
        return 0 if result else MAKE
    if command == "report":
        return MAKE if result else NONE
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
