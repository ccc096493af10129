"""Saved guest states between workers' hosts and the first control plane: the real programs, over loopback."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import q8s_artifacts as keeps
import q8s_guest_state as asks
import q8s_limits
import q8s_states as store

from q8s_infra.hostkeys import derive, states_credential, states_key, states_public_key
from q8s_infra.remote import HOSTSCRIPTS
from tests.unit.hostscript import step

SEED = "5a" * 32
KIND, KEY = "x86-small", "0" * 64
STATE = f"/states/{KIND}/{KEY}"
FILES = {"memory": b"m" * 3_000_000, "root.qcow2": b"r" * 10, "payload.qcow2": b""}


@dataclass
class Keeper:
    """The first control plane, and hosts of its cluster."""

    folder: Path
    server: Any

    @property
    def state(self) -> Path:
        """Where the state is kept."""
        return self.folder / "states" / KIND / KEY

    def host(self, guest: str = "one", *, kind: str = KIND, key: str = KEY, seed: str = SEED) -> Any:
        """A guest's host, with what the program gives it."""
        identifier, credential = states_credential(seed, kind, guest).split()
        url = f"http://127.0.0.1:{self.server.server_port}"
        return asks.Server(url, kind, key, self.folder / "states.pem", identifier, credential.encode())

    def got(self, host: Any) -> dict[str, bytes]:
        """The files that a host downloads."""
        folder = self.folder / "got"
        shutil.rmtree(folder, ignore_errors=True)
        asks.get(host, folder)
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != asks.MANIFEST}


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    for name in ("artifacts", "states"):
        (tmp_path / name).mkdir()
    (tmp_path / "states.key").write_text(states_key(SEED))
    (tmp_path / "states.pem").write_text(states_public_key(SEED))
    monkeypatch.setattr(store, "SPARE_MIB", 0)
    monkeypatch.setattr(asks, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(asks, "SILENT_SECONDS", 2)
    states = store.States(tmp_path / "states", tmp_path / "states.key")
    with keeps.Server(("127.0.0.1", 0), folder=tmp_path / "artifacts", states=states) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Keeper(tmp_path, server)
        server.shutdown()
        thread.join()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The files of a state on the host that has made it."""
    folder = tmp_path / "made"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def makes(host: Any, made: Path) -> None:
    """Make a state, as define-guest.sh does."""
    assert not asks.find(host, made.with_name("none"))
    asks.announce(host, made)
    asks.done(host)
    asks.give(host, made)


@pytest.fixture
def kept(keeper: Keeper, made: Path) -> Path:
    """A state that is kept."""
    makes(keeper.host("maker"), made)
    return keeper.state


def refused(host: Any, folder: Path) -> str:
    """Why there is no state to be had."""
    with pytest.raises(asks.NoState) as reason:
        asks.find(host, folder)
    assert not folder.exists()
    return str(reason.value)


def status(host: Any, method: str, path: str, body: bytes = b"", **given: Any) -> int:
    """The answer to a request that a host signs."""
    sent = {"digest": hashlib.sha256(body).hexdigest(), "size": len(body), **given}
    with host.asked(method, path, io.BytesIO(body), **sent) as answer:
        return int(answer.status)


def listed(**files: bytes) -> bytes:
    """What a host announces."""
    sums = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }
    return json.dumps(sums).encode()


def forged(keeper: Keeper, key: str, **changes: Any) -> None:
    """Another manifest in the place of the kept one, signed with a key."""
    manifest = keeper.state / asks.MANIFEST
    text = json.dumps({**json.loads(json.loads(manifest.read_text())["manifest"]), **changes})
    file = keeper.folder / "signs"
    file.write_text(key)
    sign = ["openssl", "dgst", "-sha256", "-sign", str(file)]
    signature = subprocess.run(sign, input=text.encode(), check=True, capture_output=True).stdout
    manifest.write_text(json.dumps({"manifest": text, "signature": base64.b64encode(signature).decode()}))


def test_first_host_makes_a_state_and_the_next_one_downloads_it(keeper: Keeper, made: Path) -> None:
    makes(keeper.host("one"), made)
    assert asks.find(keeper.host("two"), keeper.folder / "got")
    assert keeper.got(keeper.host("two")) == FILES
    assert status(keeper.host("two"), "POST", STATE) == HTTPStatus.CONFLICT, "a host that asks too early makes it again"


def test_host_waits_for_another_one_that_makes_it(keeper: Keeper, made: Path) -> None:
    host = keeper.host("one")
    assert not asks.find(host, keeper.folder / "got")
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.append(asks.find(keeper.host("two"), keeper.folder / "got")))
    waiting.start()
    asks.announce(host, made)
    asks.give(host, made)
    waiting.join(30)
    assert found == [True]


def test_host_waits_no_longer_than_a_boot_takes(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not asks.find(keeper.host("one"), keeper.folder / "got")
    monkeypatch.setattr(asks, "MAKING_SECONDS", 0.2)
    assert refused(keeper.host("two"), keeper.folder / "got") == "another host has not made it within 0.2 s"


def test_step_that_was_cut_off_gets_its_claim_again(keeper: Keeper, made: Path) -> None:
    host = keeper.host("one")
    assert not asks.find(host, keeper.folder / "got")
    (made / "memory").write_bytes(b"of the first attempt")
    asks.announce(host, made)
    (made / "memory").write_bytes(FILES["memory"])
    makes(host, made)
    assert keeper.got(host) == FILES


def test_expired_claim_lets_another_guest_make_it(keeper: Keeper, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CLAIM_SECONDS", 0.3)
    first = keeper.host("one")
    assert not asks.find(first, keeper.folder / "got")
    time.sleep(0.4)
    assert "credential" in refused(first, keeper.folder / "got"), "a guest holds a claim for ever"
    monkeypatch.setattr(store, "CLAIM_SECONDS", 900)
    assert not asks.find(keeper.host("two"), keeper.folder / "got")
    with pytest.raises(asks.NoState):
        asks.announce(first, made)


def test_released_claim_lets_another_guest_make_it(keeper: Keeper, made: Path) -> None:
    first, second = keeper.host("one"), keeper.host("two")
    assert not asks.find(first, keeper.folder / "got")
    asks.leave(first)
    assert not asks.find(second, keeper.folder / "got")
    with pytest.raises(asks.NoState, match="409"):
        asks.leave(first)
    makes(second, made)


def test_guest_that_gets_its_identity_without_a_state_lets_another_one_make_it(keeper: Keeper) -> None:
    first = keeper.host("one")
    assert not asks.find(first, keeper.folder / "got")
    asks.done(first)
    assert not asks.find(keeper.host("two"), keeper.folder / "got")


def test_other_guests_claim_is_not_usable(keeper: Keeper, made: Path) -> None:
    first, second = keeper.host("one"), keeper.host("two")
    assert not asks.find(first, keeper.folder / "got")
    asks.announce(first, made)
    body = listed(memory=b"evil")
    assert status(second, "POST", f"{STATE}/files", body) == HTTPStatus.CONFLICT
    assert status(second, "PUT", f"{STATE}/root.qcow2", FILES["root.qcow2"]) == HTTPStatus.CONFLICT
    assert status(second, "DELETE", STATE) == HTTPStatus.CONFLICT
    asks.give(first, made)
    assert keeper.got(second) == FILES


def test_credential_is_for_guests_of_its_type(keeper: Keeper) -> None:
    arm = keeper.host("one", kind="arm-small")
    assert status(arm, "POST", STATE) == HTTPStatus.FORBIDDEN
    assert status(arm, "POST", arm.state) == HTTPStatus.CREATED


@pytest.mark.parametrize("change", [{"guest": "0" * 32}, {"credential": b"ab" * 32}, {"guest": "../x"}, {"guest": ""}])
def test_request_without_a_guests_credential_is_refused(keeper: Keeper, change: dict[str, Any]) -> None:
    stranger = replace(keeper.host(), **change)
    for method, path in (("POST", STATE), ("POST", f"{STATE}/files"), ("PUT", f"{STATE}/memory"), ("DELETE", STATE)):
        assert status(stranger, method, path) == HTTPStatus.FORBIDDEN
    assert status(stranger, "POST", f"/states/{KIND}/done") == HTTPStatus.FORBIDDEN
    assert status(stranger, "POST", f"{STATE}/reports/1") == HTTPStatus.FORBIDDEN


def test_used_up_credential_makes_no_state(keeper: Keeper, made: Path) -> None:
    host = keeper.host("one")
    asks.done(host)
    restarted = store.States(keeper.folder / "states", keeper.folder / "states.key")
    assert not restarted.usable(host.guest), "a restart of the server forgets it"
    assert "used up" in refused(host, keeper.folder / "got")
    with pytest.raises(asks.NoState, match="used up"):
        asks.announce(host, made)
    # A re-run of the step says it again.
    asks.done(host)


def test_credential_ends_by_itself(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CREDENTIAL_SECONDS", 0.1)
    host = keeper.host("one")
    assert status(host, "POST", f"{STATE}/reports/1") == HTTPStatus.CONFLICT
    time.sleep(0.2)
    assert status(host, "POST", STATE) == HTTPStatus.FORBIDDEN


def test_after_the_identity_only_announced_files_are_accepted(keeper: Keeper, made: Path) -> None:
    host = keeper.host("one")
    assert not asks.find(host, keeper.folder / "got")
    asks.announce(host, made)
    asks.done(host)
    evil = b"x" * len(FILES["root.qcow2"])
    assert status(host, "PUT", f"{STATE}/root.qcow2", evil) == HTTPStatus.CONFLICT
    assert status(host, "PUT", f"{STATE}/other", evil) == HTTPStatus.CONFLICT
    assert status(host, "POST", f"{STATE}/files", listed(memory=evil)) == HTTPStatus.FORBIDDEN
    # Swapped: each is announced, under the other name.
    assert status(host, "PUT", f"{STATE}/payload.qcow2", FILES["root.qcow2"]) == HTTPStatus.CONFLICT
    digest = hashlib.sha256(FILES["root.qcow2"]).hexdigest()
    assert status(host, "PUT", f"{STATE}/root.qcow2", evil, digest=digest) == HTTPStatus.BAD_REQUEST
    assert not keeper.state.exists()
    asks.give(host, made)
    assert keeper.got(host) == FILES


def test_nothing_is_uploaded_before_it_is_announced(keeper: Keeper) -> None:
    host = keeper.host("one")
    assert not asks.find(host, keeper.folder / "got")
    assert status(host, "PUT", f"{STATE}/memory", b"m") == HTTPStatus.CONFLICT


def test_complete_state_cannot_be_changed_by_its_maker(keeper: Keeper, kept: Path) -> None:
    maker = keeper.host("maker")
    assert status(maker, "PUT", f"{STATE}/memory", FILES["memory"][:10]) == HTTPStatus.CONFLICT
    assert status(maker, "POST", STATE) == HTTPStatus.FORBIDDEN
    assert kept.exists()


def test_truncated_upload_is_not_kept(keeper: Keeper, made: Path) -> None:
    host = keeper.host("one")
    assert not asks.find(host, keeper.folder / "got")
    asks.announce(host, made)
    digest = hashlib.sha256(FILES["memory"]).hexdigest()
    head = (
        f"PUT {STATE}/memory HTTP/1.0\r\nContent-Length: {len(FILES['memory'])}\r\nX-Q8s-Sha256: {digest}\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in signed_headers(host, "PUT", f"{STATE}/memory", digest))
        + "\r\n"
    )
    with socket.create_connection(("127.0.0.1", keeper.server.server_port), 10) as link:
        link.sendall(head.encode() + FILES["memory"][:1000])
        link.shutdown(socket.SHUT_WR)
        assert b" 400 " in link.recv(100)
    assert not [path for path in (keeper.folder / "states").rglob("*") if path.is_file() and path.name != host.guest]
    asks.give(host, made)


def signed_headers(host: Any, method: str, path: str, digest: str) -> list[tuple[str, str]]:
    """A signed request's headers, to be sent more than once."""
    with host.asked("GET", "/states/nonce") as answer:
        nonce = answer.read().decode()
    signed = q8s_limits.signature(host.credential, method, path, digest, nonce)
    return [("X-Q8s-Guest", host.guest), ("X-Q8s-Nonce", nonce), ("X-Q8s-Signature", signed)]


def test_request_that_is_sent_again_is_refused(keeper: Keeper) -> None:
    host = keeper.host("one")
    headers = dict(signed_headers(host, "POST", STATE, hashlib.sha256(b"").hexdigest()))
    answers = []
    for path in (f"/states/{KIND}/{'1' * 64}", STATE, STATE):
        link = http.client.HTTPConnection("127.0.0.1", keeper.server.server_port, timeout=10)
        link.request("POST", path, headers=headers)
        answers.append(link.getresponse().status)
        link.close()
    assert answers == [HTTPStatus.FORBIDDEN, HTTPStatus.CREATED, HTTPStatus.FORBIDDEN]


def test_nonces_expire_and_are_the_servers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    nonces = q8s_limits.Nonces()
    good = nonces.new()
    assert not nonces.use(q8s_limits.Nonces().new())
    assert not nonces.use("")
    assert not nonces.use("9" + good)
    assert nonces.use(good)
    assert not nonces.use(good)
    monkeypatch.setattr(q8s_limits, "NONCE_SECONDS", -1)
    assert not nonces.use(nonces.new())


def test_state_is_dropped_when_two_guests_report_it(keeper: Keeper, kept: Path, made: Path) -> None:
    first, second = keeper.host("one"), keeper.host("two")
    for host in (first, second):
        shutil.rmtree(keeper.folder / "got", ignore_errors=True)
        assert asks.find(host, keeper.folder / "got")
    assert not asks.report(first, keeper.folder / "got")
    with pytest.raises(asks.NoState, match="409"):
        asks.report(first, keeper.folder / "got")
    assert kept.exists(), "one host deletes states"
    assert asks.report(second, keeper.folder / "got")
    assert not kept.exists()
    makes(second, made)
    with pytest.raises(asks.NoState, match="409"):
        asks.report(keeper.host("three"), keeper.folder / "got")
    assert kept.exists(), "reports on a former state are about this one"


def test_used_up_credential_reports_nothing(keeper: Keeper, kept: Path) -> None:
    for guest in ("one", "two"):
        host = keeper.host(guest)
        keeper.got(host)
        asks.done(host)
        with pytest.raises(asks.NoState, match="used up"):
            asks.report(host, keeper.folder / "got")
    assert kept.exists()


@pytest.mark.usefixtures("kept")
def test_another_state_of_a_type_takes_the_place_of_the_former(keeper: Keeper, made: Path) -> None:
    other = keeper.host("other", key="1" * 64)
    makes(other, made)
    assert [path.name for path in (keeper.folder / "states" / KIND).iterdir()] == ["1" * 64]
    assert asks.find(other, keeper.folder / "got")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [truncated, changed, Path.unlink])
def test_a_spoiled_state_is_refused(keeper: Keeper, kept: Path, spoil: Any) -> None:
    spoil(kept / "memory")
    assert refused(keeper.host(), keeper.folder / "got").startswith("memory of it is spoiled: SHA-256 ")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"files": {}, "signature": "00"}', '{"manifest": "", "signature": 1}']
)
def test_spoiled_manifest_is_refused(keeper: Keeper, kept: Path, text: str) -> None:
    (kept / "manifest.json").write_text(text)
    assert refused(keeper.host(), keeper.folder / "got") == "its manifest is spoiled, or an earlier release's"


def test_forged_state_is_refused(keeper: Keeper, kept: Path) -> None:
    (kept / "memory").write_bytes(b"evil")
    files = json.loads(listed(memory=b"evil"))
    forged(keeper, derive(SEED, "host/a").private, files=files)
    assert refused(keeper.host(), keeper.folder / "got") == "it is not signed with this cluster's key"
    # As the control plane would have signed it: the test is able to fail.
    forged(keeper, states_key(SEED), files=files)
    assert keeper.got(keeper.host()) == {"memory": b"evil"}


def test_state_of_another_key_is_not_taken_for_this_one(keeper: Keeper, kept: Path) -> None:
    other = keeper.host(key="1" * 64)
    kept.rename(kept.with_name(other.key))
    assert refused(other, keeper.folder / "got").startswith(f"it is the state {KIND}/000")


def test_state_on_an_image_is_verified(keeper: Keeper, kept: Path) -> None:
    baked = keeper.folder / "baked"
    reader = replace(keeper.host(), guest="", credential=b"")
    asks.get(reader, baked)
    asks.check(reader, baked)
    changed(baked / "memory")
    with pytest.raises(asks.NoState, match="memory of it is spoiled"):
        asks.check(reader, baked)
    (baked / "memory").unlink()
    with pytest.raises(asks.NoState, match="incomplete"):
        asks.check(reader, baked)
    shutil.rmtree(kept)
    with pytest.raises(asks.NoState, match="no guest of this type"):
        asks.get(reader, keeper.folder / "got")


@pytest.mark.parametrize("spoil", ["signature", "format", "key"])
def test_states_that_this_key_has_not_signed_go_when_the_server_starts(keeper: Keeper, kept: Path, spoil: str) -> None:
    key = keeper.folder / "states.key"
    store.States(keeper.folder / "states", key)
    assert kept.exists()
    if spoil == "signature":
        forged(keeper, derive(SEED, "host/a").private)
    elif spoil == "format":
        (kept / asks.MANIFEST).write_text('{"files": {}, "signature": "00"}')
    else:
        key.write_text(states_key("a5" * 32))
    store.States(keeper.folder / "states", key)
    assert not kept.exists(), "no host could ever make it again"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"../x": {"size": 1, "sha256": ""}}', listed(**{"manifest.json": b""}), b'{"a": 1}']
)
def test_malformed_announcement_is_refused(keeper: Keeper, body: bytes) -> None:
    host = keeper.host()
    assert not asks.find(host, keeper.folder / "got")
    assert status(host, "POST", f"{STATE}/files", body) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("path", ["/states/../x", "/states/x86/short", f"{STATE}/../../y", "/dev/amd64"])
def test_nothing_else_is_written(keeper: Keeper, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert status(keeper.host(), method, path) == HTTPStatus.FORBIDDEN


def test_hosts_of_an_earlier_release_boot(keeper: Keeper, kept: Path) -> None:
    """Its client asks without a nonce, and knows a manifest with "files" and "signature" only."""
    link = http.client.HTTPConnection("127.0.0.1", keeper.server.server_port, timeout=10)
    for method in ("POST", "DELETE"):
        link.request(method, STATE, headers={"X-Q8s-Sha256": "", "X-Q8s-Signature": "00"})
        answer = link.getresponse()
        answer.read()
        assert answer.status == HTTPStatus.FORBIDDEN
    assert "files" not in json.loads((kept / asks.MANIFEST).read_text())
    link.close()


def test_control_plane_of_an_earlier_release_means_a_cold_boot(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeps.Handler, "do_GET", lambda handler: handler.send_error(HTTPStatus.NOT_FOUND))
    assert "earlier release" in refused(keeper.host(), keeper.folder / "got")
    with pytest.raises(asks.NoState, match="earlier release"):
        asks.done(keeper.host())


def test_announced_files_need_room_beside_others(keeper: Keeper, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = keeper.host("one"), keeper.host("other", kind="arm-small")
    for host in (one, other):
        assert not asks.find(host, keeper.folder / "got")
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: SimpleNamespace(free=4_000_000))
    asks.announce(one, made)
    with pytest.raises(asks.NoState, match="no room"):
        asks.announce(other, made)


def test_room_is_made_by_what_nobody_has_used_for_long(
    keeper: Keeper, kept: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = keeper.host("other", kind="arm-small", key="2" * 64)
    monkeypatch.setattr(store, "SPARE_MIB", 1)
    full = SimpleNamespace(free=0)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: full if kept.exists() else SimpleNamespace(free=1 << 40))
    no_room = "the first control plane has no room for one"
    long_ago = (time.time() - 2 * store.UNUSED_SECONDS,) * 2
    assert refused(other, keeper.folder / "other") == no_room

    os.utime(kept / store.MANIFEST, long_ago)
    asks.find(keeper.host(), keeper.folder / "got")
    assert refused(other, keeper.folder / "other") == no_room

    os.utime(kept / store.MANIFEST, long_ago)
    makes(other, made)
    assert not kept.exists()
    assert (keeper.folder / other.state.removeprefix("/")).is_dir()


def test_without_room_nobody_makes_one(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SPARE_MIB", 1 << 40)
    assert refused(keeper.host(), keeper.folder / "got") == "the first control plane has no room for one"


def test_who_keeps_nothing_is_not_asked_for_ever(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asks, "SILENT_SECONDS", 0.2)
    nobody = replace(keeper.host(), url="http://127.0.0.1:9")
    assert refused(nobody, keeper.folder / "got").startswith("the first control plane does not answer: ")


def test_a_part_of_an_earlier_run_goes(keeper: Keeper) -> None:
    part = keeper.folder / "states/x86-small/.0123456789abcdef"
    part.mkdir(parents=True)
    store.States(keeper.folder / "states", keeper.folder / "states.key")
    assert not part.exists()


@pytest.mark.usefixtures("kept")
def test_artifacts_are_served_beside(keeper: Keeper) -> None:
    (keeper.folder / "artifacts/amd64").mkdir()
    (keeper.folder / "artifacts/amd64/image").write_text("image")
    link = http.client.HTTPConnection(keeper.host().url.removeprefix("http://"), timeout=30)
    for path, expected in (
        ("/amd64/image", b"image"),
        ("/amd64/", b""),
        (f"{STATE}/root.qcow2", b"r" * 10),
    ):
        link.request("GET", path)
        answer = link.getresponse()
        assert (answer.status, answer.read()) == (HTTPStatus.OK, expected)
    hidden = ("/states/", "/states/.credentials/" + keeper.host("maker").guest, f"/states/{KIND}", f"{STATE}/")
    for path in ("/states/../states/../../made/memory", *hidden):
        link.request("GET", path)
        answer = link.getresponse()
        answer.read()
        assert answer.status == HTTPStatus.NOT_FOUND, path
    link.close()


def test_command_says_what_it_found(
    keeper: Keeper, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def runs(guest: str, *words: object) -> tuple[int, str]:
        (inbox / "states.key").write_text(states_credential(SEED, KIND, guest))
        return asks.main(*map(str, words)), capsys.readouterr().out

    inbox = keeper.folder / "inbox"
    inbox.mkdir()
    (inbox / "states.pem").write_text(states_public_key(SEED))
    for name, value in (("SERVER", keeper.host().url), ("TYPE", KIND), ("KEY", KEY), ("KEYS", str(inbox))):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(asks, "MAKING_SECONDS", 0.1)
    got = keeper.folder / "got"
    assert runs("one", "find", got) == (asks.MAKE, "")
    assert runs("two", "find", got) == (asks.NONE, "another host has not made it within 0.1 s\n")
    for command in (("announce", made), ("done",), ("give", made)):
        assert runs("one", *command) == (0, "")
    assert runs("two", "find", got) == (0, "")
    assert runs("two", "check", got) == (0, "")
    assert runs("two", "report", got) == (asks.NONE, "")
    assert runs("three", "report", got) == (asks.MAKE, "")
    assert runs("three", "leave") == (0, "")


def test_payload_that_another_host_has_swapped_is_refused(keeper: Keeper, tmp_path: Path) -> None:
    """Its checksum comes from the program, on the step's standard input, and not from where the file comes from."""
    folder = keeper.folder / "artifacts/amd64"
    folder.mkdir()
    good = {"image": b"image", "payload": b"payload"}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in good.items()}
    given = " ".join(f"{name}_sha256={digest}" for name, digest in sums.items())
    script = (
        f"source {HOSTSCRIPTS}/guest-files.sh; progress() {{ :; }}; artifacts={keeper.host().url} architecture=amd64 "
        f"image=i payload_key=k data=$PWD/data {given}; mkdir -p data/images; guest_base"
    )
    for name, content in (("image-i.qcow2", good["image"]), ("payload-k.qcow2", b"evil")):
        (folder / name).write_bytes(content)
    done = step(tmp_path, "eval", script)
    assert done.returncode
    assert "wrong checksum of " in done.stderr
    assert not (tmp_path / "data/images/payload-k.qcow2").exists()
    (folder / "payload-k.qcow2").write_bytes(good["payload"])
    # A file that was swapped on the host is no good one, either.
    (tmp_path / "data/images/i.qcow2").write_bytes(b"evil")
    assert step(tmp_path, "eval", script).returncode == 0
    assert (tmp_path / "data/images/i.qcow2").read_bytes() == good["image"]


def test_host_asks_a_busy_server_again(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    host = keeper.host()
    monkeypatch.setattr(q8s_limits, "CONNECTIONS", 0)
    threading.Timer(0.5, lambda: monkeypatch.setattr(q8s_limits, "CONNECTIONS", 512)).start()
    asks.done(host)
    monkeypatch.setattr(asks, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(q8s_limits, "CONNECTIONS", 0)
    with pytest.raises(asks.NoState, match="it is busy"):
        asks.done(host)
