"""The saved guest states that the first control plane keeps, and who may make one (docs/decisions/0024).

The control plane's key (ECDSA P-256, in PEM) signs a state's manifest when all its files have arrived. Hosts have the
public half. Each guest has a credential of its own to upload one state with: it derives from the key, the guest's type
and the guest's identifier (:meth:`States.credential`), and is used up before the guest gets its identity.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

MANIFEST = "manifest.json"
CREDENTIAL_SECONDS = 3600
"""A credential ends so long after its first use, even if its host does not say that the guest gets its identity."""
CLAIM_SECONDS = 900
"""As long as a slow host may take to boot a guest and to upload its state; the claim's credential ends with it."""
SPARE_MIB = 4096
"""Stays free beside states: etcd is on this disk."""
UNUSED_SECONDS = 86400
"""A state that was not downloaded for so long makes room for another one: its type may be gone."""
REPORTS = 2
"""A state that fails to resume is dropped when so many guests have said so: one host alone can't delete states."""
MOST_FILES = 8
_NAME = re.compile(r"[a-z][a-z0-9.]{0,63}")
_SUM = re.compile(r"[0-9a-f]{64}")


@dataclass
class Claim:
    """A guest's right to make a state.

    Attributes:
        guest: its identifier.
        until: when the claim ends, in seconds of the system's clock.
        files: sizes in bytes and SHA-256 of the files, once they are announced.
        arrived: names of those that are complete.
    """

    guest: str
    until: float
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)

    @property
    def missing(self) -> int:
        """Bytes that are announced and have not arrived."""
        return sum(size for name, (size, _) in self.files.items() if name not in self.arrived)


class States:
    """The states in a folder, with a folder for each type, and in it one for each state; parts are in hidden ones."""

    def __init__(self, folder: Path, keyfile: Path) -> None:
        """Remove what an earlier run left: parts, and states that this key has not signed (an earlier release's)."""
        self.folder = folder
        self._keyfile, self._key = keyfile, keyfile.read_bytes().strip()
        self._claims: dict[tuple[str, str], Claim] = {}
        self._reports: dict[tuple[str, str, str], set[str]] = {}
        self._reporters: set[str] = set()
        self._lock = threading.RLock()
        self._ends = folder / ".credentials"
        self._ends.mkdir(exist_ok=True)
        for part in folder.glob("[!.]*/.*"):
            shutil.rmtree(part)
        for state in folder.glob("[!.]*/[!.]*"):
            if not self._signed(state / MANIFEST):
                shutil.rmtree(state)

    def credential(self, kind: str, guest: str) -> bytes:
        """Return what a guest of a type signs its requests with, as hostkeys.py derives it."""
        return hmac.new(self._key, f"q8s state credential {kind} {guest}".encode(), "sha256").hexdigest().encode()

    def usable(self, guest: str) -> bool:
        """Return whether a guest's credential is not used up; its first use starts its time."""
        with self._lock:
            end = self._ends / guest
            if not end.exists():
                self._ends_at(guest, time.time() + CREDENTIAL_SECONDS)
            return end.stat().st_mtime > time.time()

    def use_up(self, guest: str) -> None:
        """End a guest's credential. What is announced may still be uploaded; a claim without files ends, too."""
        with self._lock:
            self._ends_at(guest, time.time())
            for (kind, key), claim in list(self._claims.items()):
                if claim.guest == guest and not claim.files:
                    self._remove_claim(kind, key)

    def claim(self, kind: str, key: str, *, guest: str) -> HTTPStatus:
        """Give a guest the right to make a state, unless it exists or another guest makes it. A guest has one claim."""
        with self._lock:
            self._remove_expired()
            held = self._claims.get((kind, key))
            if held:
                return HTTPStatus.CREATED if held.guest == guest else HTTPStatus.CONFLICT
            if (self.folder / kind / key).exists():
                return HTTPStatus.CONFLICT
            if not self.make_room(0):
                return HTTPStatus.INSUFFICIENT_STORAGE
            for other in [of for of, claim in self._claims.items() if claim.guest == guest]:
                self._remove_claim(*other)
            until = min(time.time() + CLAIM_SECONDS, (self._ends / guest).stat().st_mtime)
            self._claims[kind, key] = Claim(guest, until)
            # A guest that let a claim expire does not get the next one.
            self._ends_at(guest, until)
            return HTTPStatus.CREATED

    def release(self, kind: str, key: str, *, guest: str) -> bool:
        """Give a guest's claim back."""
        with self._lock:
            claim = self._claim_of(kind, key, guest)
            if claim:
                self._remove_claim(kind, key)
            return claim is not None

    def announce(self, kind: str, key: str, *, guest: str, body: bytes) -> HTTPStatus:
        """Take the list of a state's files: nothing else can be uploaded from then on."""
        files = _announced(body)
        if files is None:
            return HTTPStatus.BAD_REQUEST
        with self._lock:
            claim = self._claim_of(kind, key, guest)
            if claim is None:
                return HTTPStatus.CONFLICT
            shutil.rmtree(self._part(kind, guest), ignore_errors=True)
            claim.files, claim.arrived = {}, set()
            if not self.make_room(sum(size for size, _ in files.values())):
                return HTTPStatus.INSUFFICIENT_STORAGE
            self._part(kind, guest).mkdir(parents=True)
            claim.files = files
            return HTTPStatus.CREATED

    def upload(self, kind: str, key: str, guest: str, name: str, expected: tuple[int, str]) -> Path | None:
        """Return where a file can be written that is announced with this size and SHA-256."""
        with self._lock:
            claim = self._claim_of(kind, key, guest)
            if claim is None or claim.files.get(name) != expected:
                return None
            return self._part(kind, guest) / f".{secrets.token_hex(8)}"

    def arrived(self, kind: str, key: str, guest: str, name: str, written: Path) -> bool:
        """Take a file that was written and checked. With the last one the state is signed and there, all at once."""
        with self._lock:
            claim = self._claim_of(kind, key, guest)
            if claim is None or name not in claim.files or not written.exists():
                return False
            written.replace(written.with_name(name))
            claim.arrived.add(name)
            if claim.arrived == claim.files.keys():
                self._publish(kind, key, claim)
            return True

    def report(self, kind: str, key: str, generation: str, *, guest: str) -> HTTPStatus:
        """Note that a guest could not resume from a state, once for each guest; drop the state after REPORTS."""
        with self._lock:
            state = self.folder / kind / key
            if guest in self._reporters or generation != str(_generation(state / MANIFEST)):
                return HTTPStatus.CONFLICT
            self._reporters.add(guest)
            reports = self._reports.setdefault((kind, key, generation), set())
            reports.add(guest)
            if len(reports) < REPORTS:
                return HTTPStatus.ACCEPTED
            del self._reports[kind, key, generation]
            shutil.rmtree(state)
            return HTTPStatus.OK

    def used(self, path: Path) -> None:
        """Note that somebody downloads the state whose manifest this is."""
        if path.name == MANIFEST:
            with suppress(FileNotFoundError):
                os.utime(path)

    def make_room(self, size: int) -> bool:
        """Return whether so many bytes fit beside what stays free; removes unused states if they don't."""
        with self._lock:
            manifests = self.folder.glob(f"[!.]*/[!.]*/{MANIFEST}")
            used = sorted((path.stat().st_mtime, path.parent) for path in manifests)
            for last, state in used:
                if self._fits(size) or last > time.time() - UNUSED_SECONDS:
                    break
                shutil.rmtree(state, ignore_errors=True)
            return self._fits(size)

    def _fits(self, size: int) -> bool:
        announced = sum(claim.missing for claim in self._claims.values())
        return shutil.disk_usage(self.folder).free >= size + announced + (SPARE_MIB << 20)

    def _publish(self, kind: str, key: str, claim: Claim) -> None:
        part = self._part(kind, claim.guest)
        text = json.dumps(
            {
                "state": f"{kind}/{key}",
                "generation": time.time_ns(),
                "files": {name: {"size": size, "sha256": digest} for name, (size, digest) in claim.files.items()},
            },
            sort_keys=True,
        )
        command = ["openssl", "dgst", "-sha256", "-sign", str(self._keyfile)]
        signature = subprocess.run(command, input=text.encode(), check=True, capture_output=True).stdout
        signed = {"manifest": text, "signature": base64.b64encode(signature).decode()}
        (part / MANIFEST).write_text(json.dumps(signed))
        for unfinished in part.glob(".*"):
            unfinished.unlink()
        for other in (self.folder / kind).glob("[!.]*"):
            shutil.rmtree(other)
        part.rename(self.folder / kind / key)
        del self._claims[kind, key]
        self._ends_at(claim.guest, time.time())

    def _signed(self, manifest: Path) -> bool:
        try:
            signed = json.loads(manifest.read_text())
            text, signature = signed["manifest"], base64.b64decode(signed["signature"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        with tempfile.NamedTemporaryFile() as file:
            file.write(signature)
            file.flush()
            command = ["openssl", "dgst", "-sha256", "-prverify", str(self._keyfile), "-signature", file.name]
            return subprocess.run(command, input=text.encode(), check=False, capture_output=True).returncode == 0

    def _claim_of(self, kind: str, key: str, guest: str) -> Claim | None:
        self._remove_expired()
        claim = self._claims.get((kind, key))
        return claim if claim and claim.guest == guest else None

    def _remove_expired(self) -> None:
        now = time.time()
        for kind, key in [of for of, claim in self._claims.items() if claim.until <= now]:
            self._remove_claim(kind, key)

    def _remove_claim(self, kind: str, key: str) -> None:
        claim = self._claims.pop((kind, key))
        shutil.rmtree(self._part(kind, claim.guest), ignore_errors=True)

    def _part(self, kind: str, guest: str) -> Path:
        return self.folder / kind / f".{guest}"

    def _ends_at(self, guest: str, end: float) -> None:
        (self._ends / guest).touch()
        os.utime(self._ends / guest, (end, end))


def _announced(body: bytes) -> Mapping[str, tuple[int, str]] | None:
    """Sizes and SHA-256 by names, unless the list is malformed."""
    try:
        files = {str(name): (int(each["size"]), str(each["sha256"])) for name, each in json.loads(body).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    good = all(
        _NAME.fullmatch(name) and name != MANIFEST and size >= 0 and _SUM.fullmatch(digest)
        for name, (size, digest) in files.items()
    )
    return files if good and 0 < len(files) <= MOST_FILES else None


def _generation(manifest: Path) -> int | None:
    try:
        return int(json.loads(json.loads(manifest.read_text())["manifest"])["generation"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
