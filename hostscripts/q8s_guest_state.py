#!/usr/bin/env python3
"""A guest's state between a worker's host and the first control plane, which keeps it (q8s_artifacts.py).

A state is some files: the guest's memory, as libvirt saves it, and the disks that belong to it. Its manifest has their
checksums, and is signed with the cluster's key, as all that is written is.

Commands: what they find out is their exit code, and a line for people on standard output.
    find FOLDER     get the state into a folder that is not there yet. 0: it is there; 10: there is none, and this host
                    is to make it, with the claim that is printed; 11: there is none to be had.
    give CLAIM FOLDER   hand over the files of a folder.
    leave CLAIM     make it after all not.
    anew            the state is not what it should be: nobody is to get it, and this host is to make it, with the claim
                    that is printed.
Environment: SERVER (URL), TYPE, KEY (the state's), KEYFILE (the cluster's key)
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

MANIFEST = "manifest.json"
MAKE, NONE = 10, 11
SILENT_SECONDS = 20
"""How long a server that says nothing is asked."""
MAKING_SECONDS = 300
"""How long another host that makes the state is waited for."""
POLL_SECONDS = 2.0
LIMIT_SECONDS = 60
_CHUNK = 1 << 20


class NoState(Exception):
    """There is none to be had, and why."""


@dataclass(frozen=True)
class Server:
    """Who keeps states.

    Attributes:
        url: of all that it serves.
        state: path of this one.
        key: of who may write.
    """

    url: str
    state: str
    key: bytes

    def signature(self, method: str, path: str, digest: str) -> str:
        """As the server asks for it (q8s_artifacts.py)."""
        return hmac.new(self.key, f"{method} {path} {digest}".encode(), "sha256").hexdigest()

    @contextmanager
    def asked(
        self, method: str, path: str, body: BinaryIO | None = None, *, digest: str = "", size: int = 0
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer.

        Raises:
            OSError, http.client.HTTPException: there is none.
        """
        link = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=LIMIT_SECONDS)
        headers = {}
        if method != "GET":
            digest = digest or hashlib.sha256(b"").hexdigest()
            headers = {
                "Content-Length": str(size),
                "X-Q8s-Sha256": digest,
                "X-Q8s-Signature": self.signature(method, path, digest),
            }
        try:
            link.request(method, path, body=body, headers=headers)
            with link.getresponse() as answer:
                yield answer
        finally:
            link.close()


def find(server: Server, folder: Path) -> str | None:
    """Get the state into a folder; waits for another host that makes it.

    Returns:
        The claim of this host, where there is no state and it is to make it.

    Raises:
        NoState: with the reason.
    """
    silent_until = time.monotonic() + SILENT_SECONDS
    made_until = time.monotonic() + MAKING_SECONDS
    while True:
        try:
            with server.asked("GET", f"{server.state}/{MANIFEST}") as answer:
                manifest = answer.read() if answer.status == HTTPStatus.OK else None
            if manifest is not None:
                _get(server, manifest, folder)
                return None
            with server.asked("POST", server.state) as answer:
                if answer.status == HTTPStatus.CREATED:
                    return answer.read().decode()
                if answer.status == HTTPStatus.INSUFFICIENT_STORAGE:
                    raise NoState("the first control plane has no room for one")
                if answer.status != HTTPStatus.CONFLICT:
                    raise NoState(f"the first control plane answers {answer.status} {answer.reason}")
            if time.monotonic() > made_until:
                raise NoState(f"another host has not made it within {MAKING_SECONDS} s")
            silent_until = time.monotonic() + SILENT_SECONDS
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > silent_until:
                raise NoState(f"the first control plane does not say: {error}") from error
        time.sleep(POLL_SECONDS)


def give(server: Server, claim: str, folder: Path) -> None:
    """Hand over all files of a folder, and then their manifest.

    Raises:
        NoState: it is not taken.
    """
    sums = {}
    try:
        for path in sorted(folder.iterdir()):
            sums[path.name] = _sum(path)
            _put(server, claim, path.name, path, sums[path.name])
        text = json.dumps(sums, sort_keys=True)
        signed = {"files": sums, "signature": server.signature("state", server.state, text)}
        manifest = folder / MANIFEST
        manifest.write_text(json.dumps(signed))
        _put(server, claim, MANIFEST, manifest, hashlib.sha256(manifest.read_bytes()).hexdigest())
        manifest.unlink()
    except (OSError, http.client.HTTPException) as error:
        raise NoState(f"the first control plane does not take it: {error}") from error


def leave(server: Server, claim: str) -> None:
    """Let somebody else make it, now.

    Raises:
        NoState: who keeps states does not hear it, and lets nobody for a while.
    """
    try:
        with server.asked("DELETE", f"{server.state}/{claim}"):
            pass
    except (OSError, http.client.HTTPException) as error:
        raise NoState(f"the first control plane does not hear it: {error}") from error


def anew(server: Server) -> str:
    """Have a state forgotten that does not do.

    Returns:
        The claim of this host to make another one.

    Raises:
        NoState: another host makes it already, or who keeps states does not hear it.
    """
    try:
        with server.asked("DELETE", server.state):
            pass
        with server.asked("POST", server.state) as answer:
            if answer.status == HTTPStatus.CREATED:
                return answer.read().decode()
            raise NoState(f"the first control plane answers {answer.status} {answer.reason}")
    except (OSError, http.client.HTTPException) as error:
        raise NoState(f"the first control plane does not hear it: {error}") from error


def _sum(path: Path) -> str:
    read = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            read.update(chunk)
    return read.hexdigest()


def _get(server: Server, text: bytes, folder: Path) -> None:
    try:
        manifest = json.loads(text)
        sums, signature = dict(manifest["files"]), str(manifest["signature"])
    except (ValueError, KeyError, TypeError):
        raise NoState("what the first control plane has of it is spoiled") from None
    wanted = server.signature("state", server.state, json.dumps(sums, sort_keys=True))
    if not hmac.compare_digest(wanted, signature):
        raise NoState("it is not signed with this cluster's key")
    part = folder.with_name(f".{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, expected in sums.items():
        read = hashlib.sha256()
        with server.asked("GET", f"{server.state}/{name}") as answer, (part / name).open("xb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                read.update(chunk)
        if read.hexdigest() != expected:
            raise NoState(f"{name} of it is spoiled: SHA-256 {read.hexdigest()} instead of {expected}")
    part.rename(folder)


def _put(server: Server, claim: str, name: str, path: Path, digest: str) -> None:
    with (
        path.open("rb") as body,
        server.asked("PUT", f"{server.state}/{claim}/{name}", body, digest=digest, size=path.stat().st_size) as answer,
    ):
        if answer.status != HTTPStatus.CREATED:
            raise NoState(f"the first control plane answers {answer.status} {answer.reason} to {name}")


def main(command: str, *words: str) -> int:
    """Do what is asked for; the exit code."""
    server = Server(
        os.environ["SERVER"],
        f"/states/{os.environ['TYPE']}/{os.environ['KEY']}",
        Path(os.environ["KEYFILE"]).read_bytes().strip(),
    )
    try:
        if command == "give":
            claim, folder = words
            give(server, claim, Path(folder))
            return 0
        if command == "leave":
            (claim,) = words
            leave(server, claim)
            return 0
        if command == "anew":
            print(anew(server))
            return 0
        (folder,) = words
        claimed = find(server, Path(folder))
    except NoState as reason:
        print(reason)
        return NONE
    if claimed is None:
        return 0
    print(claimed)
    return MAKE


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
