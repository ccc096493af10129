"""Steps on request: by a real SSH server in the place of a host's."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
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


def asked(monkeypatch: pytest.MonkeyPatch, server: Server, said: list[str]) -> bytes:
    """The step's result."""

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
            return await Hosts(way, say).run(STEP, FILES)

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


def test_what_a_host_says_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    evil = ("\x1b]0;title\x07demo-bake: \x1b[31mred", "demo-bake: ok\rdemo-1: failed", "q8s: \u202eab\x9b2J\x07")
    with pytest.raises(HostError) as failed:
        asked(monkeypatch, Server(3, b"", *evil), said)
    assert said == ["demo-bake: packages", "demo-bake: red", "demo-bake: ok demo-1: failed", "demo-bake: the end"]
    assert str(failed.value) == "demo-bake: q8s: ab"
