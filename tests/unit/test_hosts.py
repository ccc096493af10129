"""Steps on request: by a real SSH server in the place of a host's."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest

from q8s_infra.hosts import HostError, Hosts
from q8s_infra.remote import Step, archive

STEP = Step("bake-host", "demo-bake", "host")
FILES = {"host-packages": "qemu\n"}


class Server:
    """A host whose command says two lines, the second one once the first was heard, and ends with a status."""

    def __init__(self, status: int, result: bytes, *wrong: str) -> None:
        self.status, self.result, self.wrong = status, result, wrong
        self.heard = asyncio.Event()
        self.given = b""

    async def runs(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.given = await process.stdin.read()
        process.stderr.write(b"demo-bake: packages\n")
        await asyncio.wait_for(self.heard.wait(), 10)
        for line in (*self.wrong, "demo-bake: the end"):
            process.stderr.write(f"{line}\n".encode())
        process.stdout.write(self.result)
        process.exit(self.status)


class SlowServer:
    """A host whose command looks how much was sent before it reads anything, and sends back as much."""

    def __init__(self, sent: list[int]) -> None:
        self.sent, self.before = sent, -1
        self.heard = asyncio.Event()

    async def runs(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        for _ in range(20):
            await asyncio.sleep(0.05)
        self.before = sum(self.sent)
        while piece := await process.stdin.read(1 << 16):
            process.stdout.write(piece)
            await process.stdout.drain()
        process.exit(0)


class HastyServer:
    """A host whose command ends before it has read anything."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    async def runs(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stderr.write(b"base64: write error: No space left on device\n")
        process.exit(1)


def asked(monkeypatch: pytest.MonkeyPatch, server: Server, said: list[str]) -> bytes:
    """The step's result."""

    async def ask(hosts: Hosts) -> bytes:
        return await hosts.run(STEP, FILES)

    return served(monkeypatch, server, said, ask)


def served(
    monkeypatch: pytest.MonkeyPatch,
    server: Server | SlowServer | HastyServer,
    said: list[str],
    ask: Callable[[Hosts], Awaitable[bytes]],
) -> bytes:
    """What is asked of a server."""

    def say(line: str) -> None:
        said.append(line)
        server.heard.set()

    async def run() -> bytes:
        key = asyncssh.generate_private_key("ssh-ed25519")
        allowed = asyncssh.import_authorized_keys(key.export_public_key().decode())
        async with await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=allowed,
            process_factory=server.runs,
            encoding=None,
        ) as listening:

            @asynccontextmanager
            async def connected(*_: Any) -> AsyncIterator[asyncssh.SSHClientConnection]:
                async with asyncssh.connect(
                    "127.0.0.1",
                    listening.get_port(),
                    client_keys=[key],
                    username="debian",
                    known_hosts=None,
                    config=None,
                    agent_path=None,
                ) as host:
                    yield host

            monkeypatch.setattr(importlib.import_module("q8s_infra.hosts"), "connected", connected)
            way: Any = SimpleNamespace(address=lambda _: "127.0.0.1")
            return await ask(Hosts(way, say))

    # Not by asyncio.run, which leaves the thread without a loop, and Pulumi's tests want one.
    with closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(run())


def test_what_a_step_says_is_heard_while_it_runs_and_its_result_is_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    server = Server(0, b"\x00result\n")
    assert asked(monkeypatch, server, said) == b"\x00result\n"
    assert said == ["demo-bake: packages", "demo-bake: the end"]
    assert server.given == archive(FILES).encode()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (("q8s: node demo-bake, layer host: no such package", "last lines"), "no such package\nlast lines"),
        ((), "demo-bake: the step ended with 3"),
    ],
    ids=["says why", "says nothing"],
)
def test_a_step_that_fails_says_why_and_not_how_far_it_came(
    monkeypatch: pytest.MonkeyPatch, wrong: tuple[str, ...], why: str
) -> None:
    said: list[str] = []
    with pytest.raises(HostError) as failed:
        asked(monkeypatch, Server(3, b"", *wrong), said)
    assert why in str(failed.value)
    assert "packages" not in str(failed.value)
    assert said[0] == "demo-bake: packages"


def test_no_more_is_sent_than_the_host_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    got: list[int] = []

    def documents() -> Iterator[bytes]:
        for _ in range(512):
            sent.append(1 << 16)
            yield bytes(1 << 16)

    async def ask(hosts: Hosts) -> bytes:
        await hosts.stream(STEP, documents(), lambda piece: got.append(len(piece)))
        return b""

    server = SlowServer(sent)
    served(monkeypatch, server, [], ask)
    assert 0 <= server.before < 8 << 20
    assert sum(got) == sum(sent) == 32 << 20


def test_a_step_that_ends_before_it_has_read_all_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(hosts: Hosts) -> bytes:
        await hosts.stream(STEP, (bytes(1 << 16) for _ in range(512)), lambda _: None)
        return b""

    with pytest.raises(HostError, match="demo-bake: base64: write error: No space left on device"):
        served(monkeypatch, HastyServer(), [], ask)


def test_what_a_host_says_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    evil = ("\x1b]0;title\x07demo-bake: \x1b[31mred", "demo-bake: ok\rdemo-1: failed", "q8s: \u202eab\x9b2J\x07")
    with pytest.raises(HostError) as failed:
        asked(monkeypatch, Server(3, b"", *evil), said)
    assert said == ["demo-bake: packages", "demo-bake: red", "demo-bake: ok demo-1: failed", "demo-bake: the end"]
    assert str(failed.value) == "demo-bake: q8s: ab"
