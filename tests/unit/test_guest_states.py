"""States of guests between workers' hosts and the one that keeps them: the real programs, over loopback."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from q8s_infra.remote import HOSTSCRIPTS
from tests.unit.hostscript import program

KEY = b"ab" * 32
STATE = "/states/x86-small/" + "0" * 64
OTHER = "/states/x86-small/" + "1" * 64
FILES = {"memory": b"m" * 3_000_000, "root.qcow2": b"r" * 10, "payload.qcow2": b""}

keeps = program(HOSTSCRIPTS / "q8s_artifacts.py")
asks = program(HOSTSCRIPTS / "q8s_guest_state.py")


@dataclass
class Keeper:
    """Who keeps states, and a host of its cluster."""

    folder: Path
    states: Any
    host: Any


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    for name in ("artifacts", "states"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(keeps, "SPARE_MIB", 0)
    monkeypatch.setattr(asks, "POLL_SECONDS", 0.05)
    states = keeps.States(tmp_path / "states")
    with keeps.Server(("127.0.0.1", 0), folder=tmp_path / "artifacts", states=states, key=KEY) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Keeper(tmp_path, states, asks.Server(f"http://127.0.0.1:{server.server_port}", STATE, KEY))
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


@pytest.fixture
def kept(keeper: Keeper, made: Path) -> Path:
    """A state that is kept."""
    asks.give(keeper.host, asks.find(keeper.host, keeper.folder / "none"), made)
    return keeper.folder / STATE.removeprefix("/")


def refused(host: Any, folder: Path) -> str:
    """Why there is no state to be had."""
    with pytest.raises(asks.NoState) as reason:
        asks.find(host, folder)
    assert not folder.exists()
    return str(reason.value)


def test_the_first_host_makes_a_state_and_the_next_one_gets_it(keeper: Keeper, made: Path) -> None:
    got = keeper.folder / "got"
    claim = asks.find(keeper.host, got)
    assert claim
    assert not got.exists()
    asks.give(keeper.host, claim, made)
    assert asks.find(keeper.host, got) is None
    assert {path.name: path.read_bytes() for path in got.iterdir()} == FILES
    with keeper.host.asked("POST", STATE) as answer:
        assert answer.status == HTTPStatus.CONFLICT, "who asked a moment too early makes it again"
    assert {path.name for path in made.iterdir()} == FILES.keys(), "the maker's folder has files that are not its own"


def test_a_host_waits_for_another_one_that_makes_it(keeper: Keeper, made: Path) -> None:
    claim = asks.find(keeper.host, keeper.folder / "got")
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.append(asks.find(keeper.host, keeper.folder / "got")))
    waiting.start()
    asks.give(keeper.host, claim, made)
    waiting.join(30)
    assert found == [None]


def test_it_waits_no_longer_than_a_boot_takes(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asks.find(keeper.host, keeper.folder / "got")
    monkeypatch.setattr(asks, "MAKING_SECONDS", 0.2)
    assert refused(keeper.host, keeper.folder / "got") == "another host has not made it within 0.2 s"


def test_a_claim_ends_so_that_somebody_else_makes_it(
    keeper: Keeper, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeps, "CLAIM_SECONDS", 0.1)
    first = asks.find(keeper.host, keeper.folder / "got")
    second = asks.find(keeper.host, keeper.folder / "got")
    assert second
    assert second != first
    with pytest.raises(asks.NoState, match=r"does not take it|answers 409"):
        asks.give(keeper.host, first, made)
    asks.give(keeper.host, second, made)
    assert asks.find(keeper.host, keeper.folder / "got") is None


def test_who_does_not_make_it_lets_somebody_else(keeper: Keeper, made: Path) -> None:
    first = asks.find(keeper.host, keeper.folder / "got")
    asks.leave(keeper.host, first)
    second = asks.find(keeper.host, keeper.folder / "got")
    assert second
    # It is not the first one's any more.
    asks.leave(keeper.host, first)
    asks.give(keeper.host, second, made)


def test_a_state_that_does_not_do_is_made_anew_by_who_found_out(keeper: Keeper, kept: Path, made: Path) -> None:
    claim = asks.anew(keeper.host)
    assert not kept.exists()
    with pytest.raises(asks.NoState, match="409"):
        asks.anew(keeper.host)
    asks.give(keeper.host, claim, made)
    assert kept.exists()


@pytest.mark.usefixtures("kept")
def test_another_state_of_a_type_takes_the_place_of_the_former(keeper: Keeper, made: Path) -> None:
    other = replace(keeper.host, state=OTHER)
    asks.give(other, asks.find(other, keeper.folder / "none"), made)
    assert [path.name for path in (keeper.folder / "states/x86-small").iterdir()] == ["1" * 64]
    assert asks.find(other, keeper.folder / "got") is None


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [truncated, changed, Path.unlink])
def test_a_spoiled_state_is_refused(keeper: Keeper, kept: Path, spoil: Any) -> None:
    spoil(kept / "memory")
    assert refused(keeper.host, keeper.folder / "got").startswith("memory of it is spoiled: SHA-256 ")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": {}, "signature": "00"}'])
def test_a_spoiled_manifest_is_refused(keeper: Keeper, kept: Path, text: str) -> None:
    (kept / "manifest.json").write_text(text)
    assert refused(keeper.host, keeper.folder / "got") in {
        "what the first control plane has of it is spoiled",
        "it is not signed with this cluster's key",
    }


def test_a_state_of_another_type_is_not_taken_for_this_one(keeper: Keeper, kept: Path) -> None:
    other = keeper.folder / OTHER.removeprefix("/")
    kept.rename(other)
    host = replace(keeper.host, state=OTHER)
    assert refused(host, keeper.folder / "got") == "it is not signed with this cluster's key"


def test_who_has_not_the_key_writes_nothing(keeper: Keeper) -> None:
    stranger = replace(keeper.host, key=b"another")
    assert "403" in refused(stranger, keeper.folder / "got")
    claim = asks.find(keeper.host, keeper.folder / "got")
    with stranger.asked("PUT", f"{STATE}/{claim}/memory") as answer:
        assert answer.status == HTTPStatus.FORBIDDEN
    assert not list(keeper.folder.rglob("memory"))


def test_what_is_not_as_signed_is_not_kept(keeper: Keeper, made: Path) -> None:
    claim = asks.find(keeper.host, keeper.folder / "got")
    path = f"{STATE}/{claim}/memory"
    with (
        (made / "memory").open("rb") as body,
        keeper.host.asked("PUT", path, body, digest=hashlib.sha256(b"other").hexdigest(), size=3_000_000) as answer,
    ):
        assert answer.status == HTTPStatus.BAD_REQUEST
    assert not list((keeper.folder / "states").rglob("memory"))


@pytest.mark.parametrize("path", ["/states/../x", "/states/x86/short", f"{STATE}/../../y", "/dev/amd64"])
def test_nothing_else_is_written(keeper: Keeper, path: str) -> None:
    for method in ("POST", "PUT"):
        with keeper.host.asked(method, path) as answer:
            assert answer.status == HTTPStatus.FORBIDDEN


def test_room_is_made_by_what_nobody_has_used_for_long(
    keeper: Keeper, kept: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(keeper.host, state="/states/arm-small/" + "2" * 64)
    monkeypatch.setattr(keeps, "SPARE_MIB", 1)
    full = SimpleNamespace(free=0)
    monkeypatch.setattr(keeps.shutil, "disk_usage", lambda _: full if kept.exists() else SimpleNamespace(free=1 << 40))
    no_room = "the first control plane has no room for one"
    long_ago = (time.time() - 2 * keeps.UNUSED_SECONDS,) * 2
    assert refused(other, keeper.folder / "other") == no_room

    os.utime(kept / keeps.MANIFEST, long_ago)
    asks.find(keeper.host, keeper.folder / "got")
    assert refused(other, keeper.folder / "other") == no_room

    os.utime(kept / keeps.MANIFEST, long_ago)
    asks.give(other, asks.find(other, keeper.folder / "other"), made)
    assert not kept.exists()
    assert (keeper.folder / other.state.removeprefix("/")).is_dir()


def test_without_room_nobody_makes_one(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeps, "SPARE_MIB", 1 << 40)
    assert refused(keeper.host, keeper.folder / "got") == "the first control plane has no room for one"


def test_who_keeps_nothing_is_not_asked_for_ever(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asks, "SILENT_SECONDS", 0.2)
    nobody = replace(keeper.host, url="http://127.0.0.1:9")
    assert refused(nobody, keeper.folder / "got").startswith("the first control plane does not say: ")


def test_a_part_of_an_earlier_run_goes(keeper: Keeper) -> None:
    part = keeper.folder / "states/x86-small/.0123456789abcdef"
    part.mkdir(parents=True)
    keeps.States(keeper.folder / "states")
    assert not part.exists()


@pytest.mark.usefixtures("kept")
def test_artifacts_are_served_beside(keeper: Keeper) -> None:
    (keeper.folder / "artifacts/amd64").mkdir()
    (keeper.folder / "artifacts/amd64/image").write_text("image")
    link = http.client.HTTPConnection(keeper.host.url.removeprefix("http://"), timeout=30)
    for path, expected in (
        ("/amd64/image", b"image"),
        ("/amd64/", b""),
        ("/states/", b""),
        (f"{STATE}/root.qcow2", b"r" * 10),
    ):
        link.request("GET", path)
        answer = link.getresponse()
        assert (answer.status, answer.read()) == (HTTPStatus.OK, expected)
    link.request("GET", "/states/../states/../../made/memory")
    answer = link.getresponse()
    answer.read()
    assert answer.status == HTTPStatus.NOT_FOUND
    link.close()


def test_the_command_says_what_it_found(
    keeper: Keeper, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (keeper.folder / "states.key").write_bytes(KEY + b"\n")
    for name, value in (("SERVER", keeper.host.url), ("TYPE", "x86-small"), ("KEY", "0" * 64)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KEYFILE", str(keeper.folder / "states.key"))
    monkeypatch.setattr(asks, "MAKING_SECONDS", 0.1)
    got = str(keeper.folder / "got")
    assert asks.main("find", got) == asks.MAKE
    claim = capsys.readouterr().out.strip()
    assert asks.main("find", got) == asks.NONE
    assert capsys.readouterr().out == "another host has not made it within 0.1 s\n"
    assert asks.main("give", claim, str(made)) == 0
    assert asks.main("find", got) == 0
    assert (
        json.loads((keeper.folder / STATE.removeprefix("/") / "manifest.json").read_text())["files"].keys()
        == FILES.keys()
    )
