#!/usr/bin/env python3
"""Makes the guest on this host a node: what `kubeadm join` does, but natively: only kubelet runs under emulation.

Looks the cluster's CA up and checks it by the hash that is pinned, waits until the API server accepts the node's token,
gets kubelet's configuration, and hands all of it to the guest (cloudinit/guest/q8s_become.py, which has the words of
their talk). kubelet then asks for a certificate of its own, with the token. What it writes is what `kubeadm upgrade
node` expects on a worker. Sources: "kubeadm join" and "Implementation details" of the kubeadm reference (discovery by
token, CA pinning, kubelet-config, instance-config.yaml); "TLS bootstrapping" of the Kubernetes documentation.

Argument: a document (JSON) with identity (files that make the guest this node's: contents and modes by place), endpoint
(the API's name), link (the address that it has on this host), port, token, ca_cert_hash, arguments (kubelet's). It is
removed when the guest has joined: then there is nothing to do.

With ``--answers SECONDS`` or ``--rests SECONDS`` before it, nothing of this is done: whether a guest that is nobody's
answers, or has come to rest, within that time, is the exit code.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import secrets
import socket
import ssl
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

CHANNEL = "node.sock"
RUNTIME = "unix:///var/run/containerd/containerd.sock"
RESOLVERS = "/etc/q8s/resolv.conf"
"""In the guest: a link to the file that has the resolvers themselves."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 4.0
"""Between two attempts: twice as long each time that the same hinders it."""
LIMIT_SECONDS = 30
RESTS_SECONDS = 120
"""A guest that is asked to rest does so within half of this (q8s_become.py)."""


class NotYet(Exception):
    """What is waited for."""


def main(path: Path) -> None:
    """Talk with the guest until it has joined; what hinders it is said once."""
    said, pause = "", PAUSE_SECONDS
    while path.exists():
        try:
            hand_over(path)
        except (NotYet, OSError, http.client.HTTPException) as hindrance:
            if str(hindrance) != said:
                said, pause = str(hindrance), PAUSE_SECONDS
                print(said, flush=True)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def hand_over(path: Path) -> None:
    """One talk, to its end or until the guest has joined and says no more.

    Raises:
        NotYet: the guest is gone before: it may have been reset.
        OSError: it is not there.
    """
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(path.with_name(CHANNEL)))
        # An empty line before each: an interrupted talk may have left the beginning of one.
        channel.sendall(b"\nstatus\n")
        for line in channel.makefile("rb"):
            word = line.decode(errors="replace").strip()
            if word == "nobody":
                # One that started from another one's state has its time, and would draw its random numbers.
                channel.sendall(f"\nwake {time.time()} {secrets.token_hex(32)}\n".encode())
                _send(channel, "identity", json.loads(path.read_text())["identity"])
            elif word == "waiting":
                _send(channel, "node", node_files(json.loads(path.read_text())))
            elif word == "joined":
                path.unlink(missing_ok=True)
                print("joined", flush=True)
                channel.settimeout(LIMIT_SECONDS)
                channel.sendall(b"\nok\n")
            elif word == "bye":
                return
    if path.exists():
        raise NotYet("the guest is off")


def answers(path: Path, seconds: float) -> bool:
    """Whether the guest says within a time that it is nobody's."""
    with suppress(OSError):
        return says(path, "status", "nobody", seconds)
    return False


def rests(path: Path, seconds: float) -> bool:
    """Whether the guest, nobody's yet, comes to rest within a time; one that is reset meanwhile is asked again.

    One whose emulator has ended does not, and is not waited for.
    """
    until = time.monotonic() + seconds
    with suppress(OSError):
        while (left := until - time.monotonic()) > 0:
            if says(path, "status", "nobody", left) and says(path, "rest", "rested", min(left, RESTS_SECONDS)):
                return True
            time.sleep(PAUSE_SECONDS)
    return False


def says(path: Path, asked: str, expected: str, seconds: float) -> bool:
    """Whether the guest says a word when it is asked for it, within a time.

    Raises:
        OSError: it has no emulator.
    """
    until = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(path.with_name(CHANNEL)))
        with suppress(OSError):
            channel.sendall(f"\n{asked}\n".encode())
            lines = channel.makefile("rb")
            while (left := until - time.monotonic()) > 0:
                channel.settimeout(left)
                if not (line := lines.readline()):
                    break
                if line.decode(errors="replace").strip() == expected:
                    return True
    return False


def node_files(join: dict[str, Any]) -> dict[str, tuple[str, int]]:
    """What makes the guest the node: contents and modes by place. Waits for the API server, and for the token.

    Raises:
        NotYet: no API server, or it does not accept the token yet.
    """
    ca = trusted_ca(join)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca)
    found = get(join, context, "/api/v1/namespaces/kube-system/configmaps/kubelet-config", token=join["token"])
    configuration = yaml.safe_load(found["data"]["kubelet"])
    configuration["containerRuntimeEndpoint"] = RUNTIME
    configuration.setdefault("resolvConf", RESOLVERS)
    arguments = " ".join(f"--{name}={value}" for name, value in sorted(join["arguments"].items()))
    return {
        "etc/kubernetes/pki/ca.crt": (ca, 0o644),
        "etc/kubernetes/bootstrap-kubelet.conf": (yaml.safe_dump(credential(join, ca)), 0o600),
        "var/lib/kubelet/config.yaml": (yaml.safe_dump(configuration), 0o644),
        "var/lib/kubelet/instance-config.yaml": (f'containerRuntimeEndpoint: "{RUNTIME}"\n', 0o644),
        "var/lib/kubelet/kubeadm-flags.env": (f'KUBELET_KUBEADM_ARGS="{arguments}"\n', 0o644),
    }


def trusted_ca(join: dict[str, Any]) -> str:
    """The cluster's CA (PEM), which anybody may ask for, checked by its pinned hash.

    Raises:
        NotYet: no API server; or its CA is another one's.
    """
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    found = get(join, anybody, "/api/v1/namespaces/kube-public/configmaps/cluster-info")
    cluster = yaml.safe_load(found["data"]["kubeconfig"])["clusters"][0]["cluster"]
    ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
    key = _openssl("x509", "-noout", "-pubkey", given=ca.encode())
    digest = hashlib.sha256(_openssl("pkey", "-pubin", "-outform", "der", given=key)).hexdigest()
    if join["ca_cert_hash"] != f"sha256:{digest}":
        raise NotYet(f"the API server's CA is sha256:{digest}, and {join['ca_cert_hash']} is asked for")
    return ca


def get(join: dict[str, Any], context: ssl.SSLContext, path: str, token: str = "") -> dict[str, Any]:
    """An object of the API, by its name and at its address on this host.

    Raises:
        NotYet: it is refused.
        OSError: nobody answers, or not with a certificate of the cluster.
    """
    api = http.client.HTTPSConnection(join["endpoint"], join["port"], timeout=LIMIT_SECONDS)
    reached = socket.create_connection((join["link"], join["port"]), timeout=LIMIT_SECONDS)
    with context.wrap_socket(reached, server_hostname=join["endpoint"]) as api.sock:
        api.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = api.getresponse()
        body = answer.read()
    if answer.status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
        raise NotYet("the API server does not accept the node's token: nobody awaits the node")
    if answer.status != http.client.OK:
        raise NotYet(f"the API server answers {answer.status} {answer.reason} for {path}")
    found: dict[str, Any] = json.loads(body)
    return found


def credential(join: dict[str, Any], ca: str) -> dict[str, Any]:
    """The kubeconfig by which kubelet asks for its certificate."""
    name, user = "kubernetes", "tls-bootstrap-token-user"
    cluster = {
        "server": f"https://{join['endpoint']}:{join['port']}",
        "certificate-authority-data": base64.b64encode(ca.encode()).decode(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": join["token"]}}],
        "contexts": [{"name": f"{user}@{name}", "context": {"cluster": name, "user": user}}],
        "current-context": f"{user}@{name}",
    }


def _send(channel: socket.socket, what: str, files: Mapping[str, Sequence[Any]]) -> None:
    archive = _archive(files)
    channel.sendall(f"\n{what} {len(archive)} {hashlib.sha256(archive).hexdigest()}\n".encode() + archive)
    print(f"{what} handed over", flush=True)


def _archive(files: Mapping[str, Sequence[Any]]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content.encode()), mode
            tar.addfile(entry, io.BytesIO(content.encode()))
    return written.getvalue()


def _openssl(*words: str, given: bytes) -> bytes:
    command = ["openssl", *words]
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True, timeout=LIMIT_SECONDS).stdout


if __name__ == "__main__":
    *question, document = sys.argv[1:]
    if question:
        option, within = question
        asked = {"--answers": answers, "--rests": rests}[option]
        sys.exit(not asked(Path(document), float(within)))
    main(Path(document))
