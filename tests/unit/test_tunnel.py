"""The tunnel with real parts on loopback: an SSH server as the bastion, an HTTPS server that is asked through it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pulumi
import pytest
import yaml
from typer.testing import CliRunner
from urllib3.contrib.socks import SOCKSProxyManager
from urllib3.exceptions import HTTPError, NewConnectionError

from q8s_infra import tunnel
from q8s_infra.cli import cli
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import Access, Bastion
from tests.unit.certificate import authority, server
from tests.unit.specs import GOOD, spoiled

HOST = "127.0.0.1"
LIMIT = 30
ANSWER = 5
"""Seconds for one answer: who connects in the moment that a connection is lost may wait for ever."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass
class Site:
    """A bastion and the API server behind it.

    Attributes:
        given: the bastion, as a description has it.
        api: the API server's address.
        ca: the file with its CA.
        asked: where its clients wanted to go.
        logins: their connections.
    """

    given: dict[str, Any]
    ca: Path
    api: str = ""
    asked: list[tuple[str, int]] = field(default_factory=list)
    logins: list[asyncssh.SSHServerConnection] = field(default_factory=list)

    @property
    def bastion(self) -> Bastion:
        return Bastion.model_validate(self.given)

    def changed(self, **fields: Any) -> Bastion:
        return Bastion.model_validate({**self.given, **fields})

    async def ping(self) -> None:
        """Ask the API server as its clients do: by its own address through the proxy, checked by its CA."""

        def ask() -> int:
            with SOCKSProxyManager(self.bastion.proxy_url, ca_certs=str(self.ca), retries=False, timeout=ANSWER) as way:
                return way.request("GET", self.api).status

        assert await asyncio.to_thread(ask) == 200


class BastionServer(asyncssh.SSHServer):
    def __init__(self, site: Site) -> None:
        self.site = site

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.site.logins.append(conn)

    def connection_requested(self, dest_host: str, dest_port: int, *_: object) -> bool:
        self.site.asked.append((dest_host, dest_port))
        return True


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What an API server does, as far as it is asked here."""
    with suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
    writer.close()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Site]:
    keys = {name: asyncssh.generate_private_key("ssh-ed25519") for name in ("host", "login")}
    keys["login"].write_private_key(folder / "login")
    login = asyncssh.import_authorized_keys(keys["login"].export_public_key().decode())
    site = Site(
        {
            "host": HOST,
            "user": "jump",
            "privateKeyFile": str(folder / "login"),
            "hostKey": keys["host"].export_public_key().decode().strip(),
            "localPort": free_port(),
        },
        ca=folder / "ca.pem",
    )
    site.ca.write_text(authority("cluster").pem)
    context = server("cluster").context(folder)
    offered = {"server_host_keys": [keys["host"]], "authorized_client_keys": login}
    async with (
        asyncssh.listen(HOST, 0, server_factory=lambda: BastionServer(site), **offered) as bastion,
        await asyncio.start_server(answer, HOST, 0, ssl=context) as api,
    ):
        site.given["port"] = bastion.get_port()
        site.api = f"https://{HOST}:{api.sockets[0].getsockname()[1]}"
        yield site
        for each in site.logins:
            each.abort()


@asynccontextmanager
async def kept(bastion: Bastion) -> AsyncIterator[None]:
    """With a tunnel that is there."""
    ready = asyncio.Event()
    task = asyncio.create_task(tunnel.keep(bastion, ready.set))
    there = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait([task, there], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield
    finally:
        there.cancel()
        task.cancel()
        with suppress(asyncio.CancelledError, tunnel.TunnelError):
            await task


async def until_it_answers(site: Site) -> None:
    while True:
        try:
            return await site.ping()
        except HTTPError:
            await asyncio.sleep(0.1)


def at_a_site(folder: Path, test: Callable[[Site], Awaitable[None]]) -> None:
    """Run a test beside what it needs, with a limit."""

    async def whole() -> None:
        async with asyncio.timeout(LIMIT), opened(folder) as site:
            await test(site)

    # Not by asyncio.run, which would leave the thread without the event loop that Pulumi's mocks run in.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(whole())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def refusal(bastion: Bastion) -> str:
    with pytest.raises(tunnel.TunnelError) as caught:
        async with kept(bastion):
            pass
    return str(caught.value)


def test_the_api_server_is_asked_through_the_bastion(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        with pytest.raises(NewConnectionError):
            await site.ping()
        async with kept(site.bastion):
            await site.ping()
        assert [f"https://{host}:{port}" for host, port in site.asked] == [site.api]
        with pytest.raises(NewConnectionError):
            await site.ping()

    at_a_site(tmp_path, test)


def test_another_host_key_is_refused(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
        said = await refusal(site.changed(hostKey=other))
        assert said.startswith("access.bastion: no way through 127.0.0.1: Host key is not trusted")

    at_a_site(tmp_path, test)


def test_a_bastion_that_is_not_there_and_a_key_that_is_none(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        nobody = free_port()
        said = await refusal(site.changed(port=nobody))
        assert "access.bastion: no way through" in said
        assert f"ssh -p {nobody} jump@127.0.0.1" in said
        (tmp_path / "empty").touch()
        for name in ("missing", "empty"):
            assert "no way through" in await refusal(site.changed(privateKeyFile=str(tmp_path / name)))

    at_a_site(tmp_path, test)


def test_a_port_that_is_another_program_s(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        async with await asyncio.start_server(lambda _, writer: writer.close(), HOST, site.bastion.local_port):
            said = await refusal(site.bastion)
        assert said.startswith(f"access.bastion.localPort: another program uses {site.bastion.local_port}")

    at_a_site(tmp_path, test)


def test_a_lost_connection_is_made_again(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        async with kept(site.bastion):
            site.logins[0].abort()
            await until_it_answers(site)
            assert len(site.logins) == 2

    at_a_site(tmp_path, test)


PROGRAM = """
import json, socket, sys
from q8s_infra.spec import Access
from q8s_infra.tunnel import start
access = Access.model_validate(json.loads(sys.argv[1]))
start(access)
with socket.create_connection(("127.0.0.1", access.bastion.local_port)) as proxy:
    proxy.sendall(bytes([5, 1, 0]))
    print(proxy.recv(2))
"""


def access(bastion: Bastion) -> Access:
    return Access.model_validate({"mode": "bastion", "bastion": bastion.model_dump(by_alias=True)})


def test_a_program_keeps_it_while_it_runs_and_ends_in_peace(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        words = [sys.executable, "-c", PROGRAM, access(site.bastion).model_dump_json(by_alias=True)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*words, cwd=REPOSITORY, stdout=pipe, stderr=pipe)
        assert await process.communicate() == (b"b'\\x05\\x00'\n", b"")
        assert process.returncode == 0
        assert len(site.logins) == 1

    at_a_site(tmp_path, test)


def test_a_program_without_a_way_fails_and_its_preview_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bastion = Bastion.model_validate(
        {"host": HOST, "user": "u", "privateKeyFile": str(tmp_path / "none"), "hostKey": "ssh-ed25519 AAAA"}
    )
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
    with pytest.raises(pulumi.RunError, match="no way through"):
        tunnel.start(access(bastion))
    assert not warnings
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    tunnel.start(access(bastion))
    assert "no way through" in warnings[0]
    tunnel.start(Access())


@asynccontextmanager
async def command(folder: Path, site: Site) -> AsyncIterator[asyncio.subprocess.Process]:
    """With a process that says that it keeps a tunnel."""
    given = access(site.bastion).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    given["allowedCidrs"] = ["10.0.0.7/32"]
    (folder / "Pulumi.far.yaml").write_text(yaml.safe_dump({"config": {"q8s:cluster": spoiled("access", given)}}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "q8s_infra", "tunnel", "--stack=far", cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        # As a terminal's shell starts it; where the tests run in the background, what they start ignores Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        assert process.stdout
        first = (await process.stdout.readline()).decode()
        assert first.startswith(f"{site.bastion.proxy_url} leads through {HOST}"), first
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_the_command_keeps_it_until_ctrl_c(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        async with command(tmp_path, site) as process:
            await site.ping()
            process.send_signal(signal.SIGINT)
            rest, _ = await process.communicate()
        assert rest.decode().splitlines() == [
            "  pulumi stack output kubeconfig --show-secrets --stack far > kubeconfig",
            "  kubectl --kubeconfig kubeconfig get nodes",
        ]
        assert process.returncode == 0

    at_a_site(tmp_path, test)


def test_a_tunnel_that_is_there_is_used_and_followed(tmp_path: Path) -> None:
    async def test(site: Site) -> None:
        async with command(tmp_path, site) as another, kept(site.bastion):
            await site.ping()
            assert len(site.logins) == 1
            another.kill()
            await until_it_answers(site)
            assert len(site.logins) == 2

    at_a_site(tmp_path, test)


def test_the_command_says_where_there_is_nothing_to_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Pulumi.near.yaml").write_text(yaml.safe_dump({"config": {"q8s:cluster": GOOD}}))
    done = CliRunner().invoke(cli, ["tunnel", "--stack", "near"])
    assert done.exit_code == 1
    assert "access.mode: only bastion has a tunnel" in done.stderr
