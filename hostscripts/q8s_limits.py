"""What strangers who reach a port can take of its server: limits on connections, on time and on a request's head."""

from __future__ import annotations

import hmac
import http.server
import secrets
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from http import HTTPStatus
from typing import Any, BinaryIO

CONNECTIONS = 512
"""Served at once, a thread each; more get 503."""
CONNECTIONS_EACH = 32
"""Of these by one address: a host, with all pods of its node."""
BACKLOG = 128
RETRY_SECONDS = 5
"""After which a client that got 503 should ask again."""
HEAD_SECONDS = 10
"""Within which a request's head must have arrived."""
HEAD_BYTES = 8192
SILENT_SECONDS = 120
"""After which a connection on which nothing moves is closed."""
BYTES_A_SECOND = 32 << 10
"""A connection that moves less on average is closed."""
NONCE_SECONDS = 60
_BUSY = f"HTTP/1.0 503 Service Unavailable\r\nRetry-After: {RETRY_SECONDS}\r\nContent-Length: 0\r\n\r\n".encode()


class Nonces:
    """Values that make each signed request unique; memory is taken only by those that were used with a signature."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._used: dict[str, float] = {}
        self._lock = threading.Lock()

    def new(self) -> str:
        """Return one that may be used once, within NONCE_SECONDS."""
        head = f"{time.monotonic() + NONCE_SECONDS:.3f}-{secrets.token_hex(8)}"
        return f"{head}-{self._mark(head)}"

    def use(self, nonce: str) -> bool:
        """Return whether this is one of ours, not expired, and not used before."""
        head, _, mark = nonce.rpartition("-")
        if not hmac.compare_digest(mark.encode(), self._mark(head).encode()):
            return False
        now, until = time.monotonic(), float(head.split("-")[0])
        with self._lock:
            self._used = {used: end for used, end in self._used.items() if end > now}
            if until <= now or nonce in self._used:
                return False
            self._used[nonce] = until
        return True

    def _mark(self, head: str) -> str:
        return hmac.new(self._key, head.encode(), "sha256").hexdigest()


def signature(credential: bytes, method: str, path: str, digest: str, nonce: str) -> str:
    """Return a request's HMAC-SHA256; its body has this SHA-256 in hex."""
    return hmac.new(credential, f"{method} {path} {digest} {nonce}".encode(), "sha256").hexdigest()


class LimitedServer(http.server.ThreadingHTTPServer):
    """Refuse connections beyond the limits with 503, and close those whose time is over."""

    daemon_threads = True
    request_queue_size = BACKLOG

    def __init__(self, address: tuple[str, int], handler: type[LimitedHandler]) -> None:
        super().__init__(address, handler)
        self._ends: dict[socket.socket, tuple[str, float]] = {}
        self._refused: dict[socket.socket, float] = {}
        self._limits = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection, if it is within the limits."""
        host = client_address[0]
        with self._limits:
            each = Counter(host for host, _ in self._ends.values())
            free = len(self._ends) < CONNECTIONS and each[host] < CONNECTIONS_EACH
            if free:
                self._ends[request] = host, time.monotonic() + HEAD_SECONDS
        if free:
            super().process_request(request, client_address)
        else:
            self._refuse(request)

    def allow(self, request: socket.socket, size: int) -> None:
        """Give a connection the time that so many bytes may take."""
        with self._limits:
            if request in self._ends:
                end = time.monotonic() + 2 * HEAD_SECONDS + size / BYTES_A_SECOND
                self._ends[request] = self._ends[request][0], end

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ends."""
        with self._limits:
            self._ends.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Close connections whose time is over; called after each request, and twice a second."""
        now = time.monotonic()
        with self._limits:
            late = [request for request, (_, end) in self._ends.items() if end <= now]
            for request in late:
                # Its thread finds the end of the connection, and closes it.
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)
        for request in [request for request, end in self._refused.items() if end <= now]:
            self._close(request)

    def server_close(self) -> None:
        """Close refused connections, too."""
        super().server_close()
        for request in list(self._refused):
            self._close(request)

    def _refuse(self, request: socket.socket) -> None:
        # A socket that is closed with unread bytes resets its connection, and the client may miss the answer.
        if len(self._refused) >= BACKLOG:
            self._close(next(iter(self._refused)))
        self._refused[request] = time.monotonic() + 1
        with suppress(OSError):
            request.setblocking(False)
            request.sendall(_BUSY)
            request.shutdown(socket.SHUT_WR)

    def _close(self, request: socket.socket) -> None:
        del self._refused[request]
        with suppress(OSError):
            request.recv(HEAD_BYTES)
        request.close()


class _HeadTooLarge(Exception):
    pass


class _Head:
    """Lines of a request's head, up to HEAD_BYTES; then its body."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, HEAD_BYTES
        self.read, self.close = file.read, file.close

    @property
    def closed(self) -> bool:
        return self._file.closed

    def readline(self, limit: int = -1) -> bytes:
        line = self._file.readline(min(limit, self._left + 1) if limit >= 0 else self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise _HeadTooLarge
        return line


class LimitedHandler(http.server.SimpleHTTPRequestHandler):
    """Requests one by one, each with a limited head."""

    server: LimitedServer
    timeout = SILENT_SECONDS

    def setup(self) -> None:
        """Limit what is read as the head."""
        super().setup()
        self.rfile: Any = _Head(self.rfile)

    def handle_one_request(self) -> None:
        """Answer one; a broken connection is no error."""
        try:
            super().handle_one_request()
        except _HeadTooLarge:
            self.requestline = self.request_version = self.command = ""
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self.close_connection = True
        except OSError:
            self.close_connection = True
