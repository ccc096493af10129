"""Limits of the server on the first control plane: the real one, over loopback."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import q8s_artifacts
import q8s_limits
import q8s_states

from q8s_infra.hostkeys import states_key

CONTENT = b"image" * 1000
_OPEN: list[socket.socket] = []


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name in ("artifacts", "states"):
        (tmp_path / name).mkdir()
    (tmp_path / "artifacts/image").write_bytes(CONTENT)
    (tmp_path / "key").write_text(states_key("5a" * 32))
    monkeypatch.setattr(q8s_states, "SPARE_MIB", 0)
    monkeypatch.setattr(q8s_limits, "HEAD_SECONDS", 1)
    states = q8s_states.States(tmp_path / "states", tmp_path / "key")
    with q8s_artifacts.Server(("127.0.0.1", 0), folder=tmp_path / "artifacts", states=states) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        while _OPEN:
            _OPEN.pop().close()
        server.shutdown()
        thread.join()


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection of an address."""
    link = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
    _OPEN.append(link)
    return link


def got(port: int, source: str = "127.0.0.1") -> tuple[int, str | None, bytes]:
    """The answer to a request: its status, when to ask again, and its body."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(source, 0))
    try:
        link.request("GET", "/image")
        answer = link.getresponse()
        return answer.status, answer.headers["Retry-After"], answer.read()
    finally:
        link.close()


def said(link: socket.socket) -> bytes:
    """All that a server says until it closes a connection."""
    text = b""
    with suppress(ConnectionResetError):
        while more := link.recv(1 << 16):
            text += more
    return text


def test_idle_connections_of_one_address_leave_room_for_others(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # They stay idle until all are there, on a busy machine, too.
    monkeypatch.setattr(q8s_limits, "HEAD_SECONDS", 6)
    before = threading.active_count()
    idle = [connected(port) for _ in range(200)]
    assert got(port, "127.0.0.2") == (HTTPStatus.OK, None, CONTENT)
    assert got(port) == (HTTPStatus.SERVICE_UNAVAILABLE, str(q8s_limits.RETRY_SECONDS), b"")
    # The thread of the other address may not have ended yet.
    assert threading.active_count() <= before + q8s_limits.CONNECTIONS_EACH + 1
    # The server closes them, and then this address is served again.
    for link in idle:
        assert said(link) in {b"", q8s_limits._BUSY}
        link.close()
    assert got(port) == (HTTPStatus.OK, None, CONTENT)


def test_connections_of_all_addresses_are_limited(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(q8s_limits, "CONNECTIONS", 3)
    idle = [connected(port, f"127.0.0.{last}") for last in (2, 3, 4)]
    assert got(port, "127.0.0.5")[0] == HTTPStatus.SERVICE_UNAVAILABLE
    for link in idle:
        link.close()
    until = time.monotonic() + 5
    while got(port, "127.0.0.5")[0] != HTTPStatus.OK:
        assert time.monotonic() < until


def test_head_that_comes_byte_by_byte_is_not_awaited_for_ever(port: int) -> None:
    link, begun = connected(port), time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() < begun + 8:
            link.sendall(b"G")
            time.sleep(0.1)
    assert time.monotonic() < begun + 5


def test_slow_reader_is_cut_off(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "artifacts/large").open("wb") as file:
        file.truncate(64 << 20)
    monkeypatch.setattr(q8s_limits, "BYTES_A_SECOND", 1 << 30)
    link = connected(port)
    link.sendall(b"GET /large HTTP/1.0\r\n\r\n")
    link.recv(1)
    time.sleep(3)
    assert len(said(link)) < 64 << 20


def test_body_that_stops_is_cut_off(port: int) -> None:
    link, begun = connected(port), time.monotonic()
    link.sendall(b"POST /states/a/done HTTP/1.0\r\nContent-Length: 100\r\n\r\n")
    assert said(link) == b""
    assert time.monotonic() < begun + 8


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 20_000 + b" HTTP/1.0\r\n\r\n",
        b"GET /image HTTP/1.0\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /image HTTP/1.0\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
    ],
)
def test_large_head_is_refused(port: int, head: bytes) -> None:
    link = connected(port)
    link.sendall(head)
    # What is left of it resets the connection, and may take the answer along.
    assert said(link)[:13] in {b"", b"HTTP/1.0 431 ", b"HTTP/1.0 414 "}


@pytest.mark.parametrize("size", ["5000", "-1", "x", "9" * 30])
def test_large_body_is_refused(port: int, size: str) -> None:
    link = connected(port)
    link.sendall(f"POST /states/a/done HTTP/1.0\r\nContent-Length: {size}\r\n\r\n".encode())
    assert said(link).startswith(b"HTTP/1.0 413 ")


def test_uploads_are_limited(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave = threading.Event(), threading.Event()

    def receives(_: Any) -> HTTPStatus:
        entered.set()
        leave.wait(10)
        return HTTPStatus.FORBIDDEN

    monkeypatch.setattr(q8s_artifacts.Handler, "_receive", receives)
    busy = []
    for _ in range(q8s_artifacts.UPLOADS):
        entered.clear()
        busy.append(connected(port))
        busy[-1].sendall(b"PUT /states/a HTTP/1.0\r\n\r\n")
        assert entered.wait(5)
    link = connected(port)
    link.sendall(b"PUT /states/a HTTP/1.0\r\n\r\n")
    answer = said(link)
    assert answer.startswith(b"HTTP/1.0 503 ")
    assert b"Retry-After: " in answer
    leave.set()
    assert all(said(each).startswith(b"HTTP/1.0 403 ") for each in busy)
