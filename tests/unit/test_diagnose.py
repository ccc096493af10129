"""What a node's facts say, and what of its logs may leave it."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import io
import json
import stat
import tarfile
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from q8s_infra.diagnose import Redactor, judge, write_archive
from q8s_infra.diagnose.collect import guest_of
from q8s_infra.diagnose.judge import LAYERS, Facts, forgotten, ready_condition
from q8s_infra.diagnose.patterns import REDACTED
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.ssh import NoState, StackKeys, stack_keys

TOKEN, KEY = "abcdef.0123456789abcdef", "bm90IGEga2V5IGJ1dCBsb25nIGVub3VnaA=="
HOST = {
    "full": " 40%",
    "prepared": "10:00:00 host prepared",
    "domain": "running",
    "network": "yes",
    "balancer": "active",
}
GUEST = {"join_says": "45.7 q8s: joined", "kubelet": "active", "containerd": "active"}
READY = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "posting ready status"}
WORKER = Facts(worker=True, status="ACTIVE", fault="", host=HOST, guest=GUEST, ready=READY)
CONTROL_PLANE = Facts(
    worker=False,
    status="ACTIVE",
    fault="",
    host={**HOST, "kubelet": "active", "containerd": "active", "api": "ok"},
    guest={},
    ready=READY,
)
redacted = Redactor()
JOINING = {**HOST, "join": "activating", "kubelet": "activating"}
BROKEN: list[tuple[Facts, dict[str, Any], str, str]] = [
    (WORKER, {"status": None}, "OpenStack", "no instance"),
    (WORKER, {"status": "ERROR", "fault": "No valid host was found"}, "OpenStack", "No valid host"),
    (WORKER, {"host": "SSH to 10.0.0.7: timed out"}, "host", "timed out"),
    (WORKER, {"host": {**HOST, "full": "98%"}}, "host", "98 %"),
    (WORKER, {"host": {**HOST, "prepared": "q8s: wrong checksum"}}, "host", "wrong checksum"),
    (WORKER, {"host": {**HOST, "network": ""}}, "libvirt", "q8s is not active"),
    (WORKER, {"host": {**HOST, "balancer": "failed"}}, "libvirt", "HAProxy, the guest's way to the API, is failed"),
    (CONTROL_PLANE, {"host": {**HOST, "artifacts": "inactive", "payload_says": "no mirror"}}, "host", "no mirror"),
    (CONTROL_PLANE, {"host": {**JOINING, "join_says": "couldn't validate"}}, "Kubernetes", "couldn't validate"),
    (WORKER, {"host": {**HOST, "domain": "shut off", "libvirt_says": "reason=crashed"}}, "libvirt", "crashed"),
    (WORKER, {"guest": "SSH to the guest: no route", "host": {**HOST, "console_says": "panic"}}, "guest", "panic"),
    (WORKER, {"guest": "no route", "host": {**HOST, "watch_says": "idle for 130 s: reset"}}, "guest", "idle for 130 s"),
    (WORKER, {"guest": {**GUEST, "join_says": "30.1 q8s: join failed at line 40"}}, "guest", "line 40"),
    (WORKER, {"guest": {**GUEST, "join_says": ""}}, "guest", "not begun"),
    (
        WORKER,
        {"host": {**HOST, "join_says": "nobody awaits"}, "guest": {**GUEST, "join_says": "30.1 q8s: waiting"}},
        "guest",
        "q8s: waiting; its host: nobody awaits",
    ),
    (WORKER, {"guest": {**GUEST, "kubelet": "failed", "kubelet_says": "no swap"}}, "kubelet", "no swap"),
    (WORKER, {"guest": {**GUEST, "containerd": "inactive"}}, "kubelet", "containerd is inactive"),
    (WORKER, {"ready": None}, "Kubernetes", "no node object"),
    (WORKER, {"ready": {**READY, "status": "Unknown", "message": "stopped posting"}}, "Kubernetes", "stopped posting"),
    (WORKER, {"ready": "connection refused"}, "Kubernetes", "connection refused"),
    (CONTROL_PLANE, {"host": {**CONTROL_PLANE.host, "kubelet": "failed"}}, "kubelet", "failed"),  # type: ignore[dict-item]
    (CONTROL_PLANE, {"host": {**CONTROL_PLANE.host, "api": "etcd failed"}}, "Kubernetes", "etcd failed"),  # type: ignore[dict-item]
]


@pytest.mark.parametrize(("facts", "changes", "layer", "evidence"), BROKEN)
def test_the_first_broken_layer_is_named_with_its_evidence(
    facts: Facts, changes: dict[str, Any], layer: str, evidence: str
) -> None:
    finding = judge("demo-x86-0", dataclasses.replace(facts, **changes))
    assert (finding.node, finding.layer) == ("demo-x86-0", layer)
    assert evidence in finding.evidence


@pytest.mark.parametrize("facts", [WORKER, CONTROL_PLANE])
def test_a_node_without_fault(facts: Facts) -> None:
    assert judge("demo", facts).layer is None


def test_a_lower_layer_comes_first() -> None:
    facts, order = WORKER, []
    for changed, changes, layer, _ in reversed(BROKEN):
        if changed is WORKER:
            facts = dataclasses.replace(facts, **changes)
            order.append(layer)
            assert judge("demo", facts).layer == layer
    assert list(dict.fromkeys(reversed(order))) == list(LAYERS)


def test_the_node_object_is_found_by_name() -> None:
    node = {"metadata": {"name": "a"}, "status": {"conditions": [{"type": "MemoryPressure"}, READY]}}
    listing = json.dumps({"items": [node]})
    assert ready_condition(listing, "a") == READY
    assert ready_condition(listing, "b") is None
    assert ready_condition("E1 something\nThe connection was refused", "a") == "The connection was refused"
    assert ready_condition("", "a") == "kubectl printed nothing"


def test_a_node_that_nobody_has_any_more_is_found() -> None:
    def item(name: str, *conditions: dict[str, str]) -> dict[str, Any]:
        return {"metadata": {"name": name}, "status": {"conditions": [*conditions]}}

    gone = {**READY, "status": "Unknown"}
    items = [item("ours", gone), item("own", READY), item("left", gone), item("never")]  # type: ignore[arg-type]
    found = forgotten(json.dumps({"items": items}), {"ours"})
    assert [(it.node, it.layer) for it in found] == [("left", "Kubernetes"), ("never", "Kubernetes")]
    assert found[0].evidence.endswith("kubectl delete node left")
    assert not forgotten("The connection was refused", {"ours"})


SECRETS = [
    f"kubeadm join --token {TOKEN} x",
    f"token: {TOKEN}",
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY}\n-----END OPENSSH PRIVATE KEY-----",
    f"-----BEGIN EC PRIVATE KEY-----\n{KEY}\ncut off",
    f"client-key-data: {KEY}",
    f'"certificateKey": "{KEY}"',
    f"--certificate-key {KEY}",
    f"application_credential_secret: {KEY}",
    f"Authorization: Bearer {KEY}",
    f"X-Auth-Token: {KEY}",
    f"password={KEY}",
    f"http://user:{KEY}@proxy:3128/",
]


@pytest.mark.parametrize("secret", SECRETS)
@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_secret_is_removed_wherever_it_stands(secret: str, before: str, after: str) -> None:
    said = redacted(f"{before}\n{secret}\n{after}")
    assert KEY not in said
    assert TOKEN not in said
    assert REDACTED in said


@given(st.text(alphabet=st.characters(categories=["Ll", "Nd", "Zs"], max_codepoint=127)))
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_ordinary_lines_stay() -> None:
    lines = "10:00:00 host prepared\nnode/demo-x86-0 condition met\nkubelet v1.34.4 registry.k8s.io/pause:3.10.1\n"
    assert redacted(lines) == lines


def test_the_archive_is_its_owners_alone_and_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "logs.tar.gz"
    write_archive(path, {"demo/host/a.log": f"token: {TOKEN}", "demo/guest/b.log": "fine"}, redacted)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as tar:
        texts = {member.name: tar.extractfile(member).read().decode() for member in tar}  # type: ignore[union-attr]
    assert texts["demo/guest/b.log"] == "fine"
    assert TOKEN not in texts["demo/host/a.log"]
    with pytest.raises(FileExistsError):
        write_archive(path, {}, redacted)


def test_keys_come_from_the_state() -> None:
    printed = json.dumps({"privateKey": "p", "publicKey": "q", "hostKeySeed": "ab" * 32})
    resource = {
        "type": "command:local:Command",
        "urn": "urn:pulumi:dev::q8s::command:local:Command::dev-keys",
        "outputs": {"stdout": {"4dabf18193072939515e22adb298388d": "x", "plaintext": json.dumps(printed)}},
    }
    keys = stack_keys({"resources": [resource]})
    assert (keys.private, keys.seed) == ("p", "ab" * 32)
    assert "ab" * 32 not in repr(keys)
    with pytest.raises(NoState, match="no keys yet"):
        stack_keys({"resources": [{"type": "pulumi:pulumi:Stack", "urn": "urn"}]})


def test_a_guest_with_a_foreign_host_key_is_nobody_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a real SSH server that has another key than the stack's."""
    keys = StackKeys(asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode(), "ab" * 32)
    way: Any = SimpleNamespace(access=SimpleNamespace(user="debian"), keys=keys)

    async def asked() -> str:
        own = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
        async with await asyncssh.listen("127.0.0.1", 0, server_host_keys=[own]) as server:

            def login(*words: Any, **options: Any) -> Any:
                del words, options
                return asyncssh.connect(
                    "127.0.0.1", server.get_port(), config=None, known_hosts=keys.known_host("guest/demo-0")
                )

            monkeypatch.setattr(importlib.import_module("q8s_infra.diagnose.collect"), "login", login)
            return str((await guest_of(None, "demo-0", way, "192.168.123.2")).facts)

    # Not by asyncio.run, which leaves the thread without a loop, and Pulumi's tests want one.
    with closing(asyncio.new_event_loop()) as loop:
        assert loop.run_until_complete(asked()).startswith("SSH to the guest: it has another host key than its own")


def test_machine_that_sends_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a real SSH server that sends more than anybody would keep."""
    collect = importlib.import_module("q8s_infra.diagnose.collect")
    monkeypatch.setattr(collect, "ARCHIVE_BYTES", 1 << 20)

    async def floods(process: asyncssh.SSHServerProcess[bytes]) -> None:
        while not process.stdout.is_closing():
            process.stdout.write(b"x" * 65536)
            await process.stdout.drain()

    assert run_script(monkeypatch, floods).facts == "its logs can't be collected (exit None)"


def test_documents_of_a_machine_are_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sends(process: asyncssh.SSHServerProcess[bytes]) -> None:
        assert await process.stdin.read() == (REPOSITORY / "hostscripts/collect-logs.sh").read_bytes()
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            for name, content in {
                "facts": b"console_says=\x1b[2J\x1b]0;t\x07panic\x0bdomain=running\ndomain=shut off\n",
                "system.txt": b"\x1b[31mred\x1b[0m\n",
                "../evil": b"x",
            }.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        process.stdout.write(raw.getvalue())
        process.exit(0)

    machine = run_script(monkeypatch, sends)
    assert machine.facts == {"console_says": "panicdomain=running", "domain": "shut off"}
    assert machine.documents["system.txt"] == "red\n"
    assert set(machine.documents) == {"system.txt", "left-out"}


def run_script(monkeypatch: pytest.MonkeyPatch, factory: Any) -> Any:
    """What is taken in of a guest whose answer to the script is this."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    keys = StackKeys(key.export_private_key().decode(), "ab" * 32)
    way: Any = SimpleNamespace(access=SimpleNamespace(user="debian"), keys=keys)

    async def asked() -> Any:
        own = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
        allowed = asyncssh.import_authorized_keys(key.export_public_key().decode())
        async with await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[own],
            authorized_client_keys=allowed,
            process_factory=factory,
            encoding=None,
        ) as server:

            def login(*_: Any, **__: Any) -> Any:
                return asyncssh.connect(
                    "127.0.0.1", server.get_port(), config=None, known_hosts=None, client_keys=[key], username="debian",
                    agent_path=None,
                )  # fmt: skip

            monkeypatch.setattr(importlib.import_module("q8s_infra.diagnose.collect"), "login", login)
            return await guest_of(None, "demo-0", way, "192.168.123.2")

    with closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(asyncio.wait_for(asked(), 60))
