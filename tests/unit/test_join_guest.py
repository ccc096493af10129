"""How a worker's host makes its guest a node: both ends of their talk, and an API server as kubeadm leaves it."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from q8s_infra.remote import HOSTSCRIPTS
from q8s_infra.render.identity import guest_join
from q8s_infra.render.templates import REPOSITORY
from tests.unit.certificate import authority, server
from tests.unit.hostscript import program
from tests.unit.rendered import own_keys, planned

TOKEN = "abcdef.0123456789abcdef"
LIMIT_SECONDS = 30
TAKES_SECONDS = 0.5
"""From kubelet's start to its certificate."""
SEED_BYTES = 32


host = program(HOSTSCRIPTS / "q8s_join_guest.py")
guest = program(REPOSITORY / "cloudinit/guest/q8s_become.py")


@dataclass
class Api:
    """An API server; who asks for what; whether it accepts the token."""

    port: int = 0
    accepts: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    found = Api()
    kubeconfig = {"clusters": [{"cluster": {"certificate-authority-data": _base64(authority("cluster").pem)}}]}
    configuration = {"kind": "KubeletConfiguration", "containerRuntimeEndpoint": "", "rotateCertificates": True}
    maps = {"cluster-info": {"kubeconfig": kubeconfig}, "kubelet-config": {"kubelet": configuration}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, bearer = self.path.rpartition("/")[2], self.headers.get("Authorization", "")
            found.asked.append((name, bearer))
            refused = name == "kubelet-config" and not (found.accepts and bearer == f"Bearer {TOKEN}")
            self.send_response(401 if refused else 200)
            self.end_headers()
            data = {key: yaml.safe_dump(value) for key, value in maps[name].items()}
            self.wfile.write(b"{}" if refused else json.dumps({"data": data}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        serving.socket = server("cluster").context(tmp_path).wrap_socket(serving.socket, server_side=True)
        found.port = serving.server_port
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield found
        serving.shutdown()
        thread.join()


@pytest.fixture
def join(api: Api) -> dict[str, Any]:
    """What the program gives a host, but for where the API server of this test is."""
    key = authority("cluster").certificate.public_key()
    pinned = sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    spec = planned("dev").spec
    given = guest_join(
        spec,
        node="dev-0",
        address="10.254.1.7",
        token=TOKEN,
        ca_cert_hash=f"sha256:{pinned}",
        login_keys="ssh-ed25519 AAAA\n",
        **own_keys("dev-0"),
    )
    return {**json.loads(given), "endpoint": "127.0.0.1", "link": "127.0.0.1", "port": api.port}


@dataclass
class Guest:
    """A guest's end of the port, and a kubelet that the cluster takes in when it starts."""

    root: Path
    channel: socket.socket
    settled: int = 0
    started: int = 0
    rested: int = 0
    woken: list[tuple[float, bytes]] = field(default_factory=list)
    kept: bool = False

    def run(self) -> threading.Thread:
        """The program, in the guest."""
        talk = guest.Talk(self.channel.fileno())
        thread = threading.Thread(target=guest.become, args=(talk, self.root, self))
        thread.start()
        return thread

    def rest(self) -> None:
        self.rested += 1

    def wake(self, now: float, seed: bytes) -> None:
        assert not self.settled, "it is somebody before it knows the time"
        self.woken.append((now, seed))

    def settle(self) -> None:
        self.settled += 1
        assert (self.root / "etc/hostname").read_text() == "dev-0\n"

    def start(self) -> None:
        self.started += 1
        assert TOKEN in (self.root / "etc/kubernetes/bootstrap-kubelet.conf").read_text()
        # As kubelet: its configuration is there before the cluster has accepted the token.
        (self.root / "etc/kubernetes/kubelet.conf").touch()
        threading.Timer(TAKES_SECONDS, self._taken_in).start()

    def _taken_in(self) -> None:
        self.kept = (self.root / "etc/kubernetes/bootstrap-kubelet.conf").exists()
        certified(self.root)


def certified(root: Path) -> None:
    """The cluster has taken the node in."""
    certificate = root / guest.CREDENTIAL
    certificate.parent.mkdir(parents=True, exist_ok=True)
    certificate.touch()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    """The emulator's socket, beside the host's document."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "node.sock"))
        bound.listen()
        bound.settimeout(LIMIT_SECONDS)
        yield bound


@pytest.fixture
def served(join: dict[str, Any], tmp_path: Path) -> Iterator[Callable[[], threading.Thread]]:
    """Start the host's service with its document."""
    path = tmp_path / "join.json"
    path.write_text(json.dumps(join))
    threads: list[threading.Thread] = []

    def start() -> threading.Thread:
        threads.append(threading.Thread(target=host.main, args=(path,)))
        threads[-1].start()
        return threads[-1]

    yield start
    path.unlink(missing_ok=True)
    for thread in threads:
        thread.join(LIMIT_SECONDS)


def ended(*threads: threading.Thread) -> bool:
    """Whether all come to their end."""
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    return not any(thread.is_alive() for thread in threads)


def test_a_guest_becomes_a_node(
    api: Api, listening: socket.socket, served: Callable[[], threading.Thread], tmp_path: Path
) -> None:
    serving = served()
    with listening.accept()[0] as channel:
        there = Guest(tmp_path / "root", channel)
        assert ended(serving, there.run())
    assert (there.settled, there.started) == (1, 1)
    ((now, seed),) = there.woken
    assert abs(now - time.time()) < LIMIT_SECONDS
    assert len(seed) == SEED_BYTES
    assert there.kept, "kubelet could not start again before it has its certificate"
    assert not (tmp_path / "join.json").exists(), "the token stays on the host"
    assert (tmp_path / "root/etc/ssh/ssh_host_ecdsa_key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "root/etc/machine-id").read_text() == f"{'c' * 32}\n"
    kubernetes, kubelet = tmp_path / "root/etc/kubernetes", tmp_path / "root/var/lib/kubelet"
    assert not (kubernetes / "bootstrap-kubelet.conf").exists(), "the token stays in the guest"
    assert (kubernetes / "pki/ca.crt").read_text() == authority("cluster").pem
    configuration = yaml.safe_load((kubelet / "config.yaml").read_text())
    assert configuration["containerRuntimeEndpoint"] == "unix:///var/run/containerd/containerd.sock"
    assert configuration["rotateCertificates"] is True
    flags = (kubelet / "kubeadm-flags.env").read_text()
    assert flags.startswith('KUBELET_KUBEADM_ARGS="--hostname-override=dev-0 --housekeeping-interval=')
    assert "--node-ip=10.254.1.7" in flags
    assert f"--node-labels=q8s.io/ssh-keys={sha256(b'ssh-ed25519 AAAA' + bytes([10])).hexdigest()[:40]}" in flags
    assert ("cluster-info", "") in api.asked


def test_nothing_is_handed_over_before_the_token_is_accepted(
    api: Api,
    listening: socket.socket,
    served: Callable[[], threading.Thread],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    api.accepts = False
    serving = served()
    with listening.accept()[0] as first:
        first.sendall(b"waiting\n")
        # The host leaves, and comes back to ask again.
        second = listening.accept()[0]
        assert first.recv(4096).strip() == b"status"
    with second:
        api.accepts = True
        assert ended(serving, Guest(tmp_path / "root", second).run())
    assert "does not accept the node's token: nobody awaits the node" in capsys.readouterr().out


def test_another_clusters_ca_is_refused(api: Api, join: dict[str, Any]) -> None:
    with pytest.raises(host.NotYet, match="is asked for"):
        host.node_files({**join, "ca_cert_hash": f"sha256:{'0' * 64}"})
    assert "Bearer" not in "".join(bearer for _, bearer in api.asked), "the token went to a stranger"


def test_the_token_goes_only_to_who_has_a_certificate_of_the_cluster(api: Api, join: dict[str, Any]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority("another").pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        host.get(join, context, "/api/v1/namespaces/kube-system/configmaps/kubelet-config", token=TOKEN)
    assert not api.asked


def test_a_guest_that_is_reset_in_the_middle_is_asked_again(
    listening: socket.socket, served: Callable[[], threading.Thread], tmp_path: Path
) -> None:
    serving = served()
    with listening.accept()[0] as channel:
        channel.sendall(b"waiting\n")
        # It has read a part of what it got; the rest is what the next boot finds.
        assert channel.recv(2000)
        there = Guest(tmp_path / "root", channel)
        assert ended(serving, there.run())
    assert (there.settled, there.started) == (1, 1)


def test_a_node_whose_host_asks_no_more_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "LINGER_SECONDS", 0.5)
    certified(tmp_path)
    ours, its = socket.socketpair()
    with ours, its:
        # It is there, and silent.
        assert ended(Guest(tmp_path, its).run())
    ours, its = socket.socketpair()
    with its:
        ours.close()
        assert ended(Guest(tmp_path, its).run())


def test_a_guest_that_is_a_node_already_says_so(
    api: Api, listening: socket.socket, served: Callable[[], threading.Thread], tmp_path: Path
) -> None:
    certified(tmp_path / "root")
    (tmp_path / "root/etc/kubernetes").mkdir(parents=True)
    # It was reset as soon as the cluster had taken it in.
    bootstrap = tmp_path / "root/etc/kubernetes/bootstrap-kubelet.conf"
    bootstrap.touch()
    serving = served()
    with listening.accept()[0] as channel:
        there = Guest(tmp_path / "root", channel)
        assert ended(serving, there.run())
    assert not there.started
    assert not api.asked
    assert not bootstrap.exists(), "the token stays in the guest"


def test_files_are_whole_and_have_their_modes(tmp_path: Path) -> None:
    secret = tmp_path / "etc/secret"
    secret.parent.mkdir()
    secret.write_text("before")
    secret.chmod(0o644)
    guest.put(host._archive({"etc/secret": ("x", 0o600), "etc/a/b": ("y", 0o644)}), tmp_path)
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("x", 0o600)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["b", "secret"]


def test_a_guest_rests_when_it_is_asked_until_it_is_a_node(
    listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest, "LINGER_SECONDS", 0.5)
    monkeypatch.setattr(host, "PAUSE_SECONDS", 0.1)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(host.rests, tmp_path / "join.json", LIMIT_SECONDS)
        # It is reset after it has said that it is nobody's; the next one is the emulator's port as before.
        for said in (b"nobody\n", b"", b"nobody\n"):
            with listening.accept()[0] as channel:
                assert channel.recv(100).endswith(b"\n")
                channel.sendall(said)
        with listening.accept()[0] as channel:
            there = Guest(tmp_path / "root", channel)
            running = there.run()
            assert asked.result(LIMIT_SECONDS)
            # Its state would have a node's secrets.
            certified(tmp_path / "root")
            assert ended(running)
    ours, its = socket.socketpair()
    with ours, its:
        ours.sendall(b"rest\nstatus\nok\n")
        there.channel = its
        assert ended(there.run())
        assert ours.recv(4096).split() == [b"joined", b"joined", b"bye"]
    assert there.rested == 1


@pytest.mark.usefixtures("listening")
def test_a_guest_that_says_nothing_does_not_answer(tmp_path: Path) -> None:
    assert not host.answers(tmp_path / "join.json", 0.2)
    assert not host.rests(tmp_path / "join.json", 0.2)


def test_a_guest_whose_emulator_has_ended_is_not_waited_for(listening: socket.socket, tmp_path: Path) -> None:
    assert not host.answers(tmp_path / "none/join.json", LIMIT_SECONDS)
    # It ends while it is waited for; its socket stays.
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(host.rests, tmp_path / "join.json", 100 * LIMIT_SECONDS)
        with listening.accept()[0] as channel:
            assert channel.recv(100) == b"\nstatus\n"
            listening.close()
        assert not asked.result(LIMIT_SECONDS)


def test_who_is_hindered_looks_again_soon_and_then_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "join.json"
    document.touch()
    hindrances = iter(["no answer"] * 7 + ["no token"] * 2)
    pauses: list[float] = []

    def hand_over(path: Path) -> None:
        if (hindrance := next(hindrances, None)) is not None:
            raise host.NotYet(hindrance)
        path.unlink()

    monkeypatch.setattr(host, "hand_over", hand_over)
    monkeypatch.setattr(host.time, "sleep", pauses.append)
    host.main(document)
    assert pauses == [0.25, 0.5, 1, 2, 4, 4, 4, 0.25, 0.5]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
