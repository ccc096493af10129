"""Every secret of a stack is known by its state: none of them, in whatever form, gets into the archive."""

from __future__ import annotations

import base64
import html
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

import asyncssh
import pytest

from q8s_infra.diagnose import Redactor, stack_values, write_archive
from q8s_infra.diagnose.values import SECRET_MARK
from q8s_infra.hostkeys import certificate_key, derive, join_token, snapshot_key, states_credential, states_key
from q8s_infra.remote import archive

SEED = "".join(random.Random(7).choices("0123456789abcdef", k=64))
PRIVATE = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key("openssh").decode()
BASTION = asyncssh.generate_private_key("ssh-rsa", key_size=2048).export_private_key("pkcs8-pem").decode()
CLIENT = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key("pkcs8-pem").decode()
TOKEN, CERTIFICATE_KEY = join_token(SEED, "demo-x86-0"), certificate_key(SEED, "demo-control-plane-1")
STATES_CREDENTIAL = states_credential(SEED, "x86", "demo-x86-0")
PROXY, REGISTRY, PASSPHRASE = "pr0xy&Wort+ü/9", "r3gistry'Wort", 'zwei "Wörter" \\ und 3'
CLIENT_DATA = base64.b64encode(CLIENT.encode()).decode()
BRACKET = "{[0pen: Wort"
KUBECONFIG = f"""apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: {base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()}
    server: https://10.0.0.5:6443
  name: demo
users:
- name: kubernetes-admin
  user:
    client-key-data: {CLIENT_DATA}
"""
JOIN = {
    "identity": {"etc/ssh/ssh_host_ecdsa_key": [derive(SEED, "guest/demo-x86-0").private, 0o600]},
    "endpoint": "demo.q8s.internal",
    "link": "192.168.90.1",
    "token": TOKEN,
    "arguments": {"node-ip": "10.0.0.7", "cgroup-root": "/"},
}


def secret(value: object) -> dict[str, str]:
    """As a state has a value that is marked, in an export with secrets."""
    return {**SECRET_MARK, "plaintext": json.dumps(value)}


def command(name: str, files: dict[str, str], stdout: object = "") -> dict[str, Any]:
    connection = {"host": "10.0.0.7", "user": "debian", "port": 22, "privateKey": PRIVATE}
    proxy = {"host": "bastion.example", "user": "jump", "privateKey": BASTION}
    inputs = {
        "connection": secret({**connection, "proxy": proxy}),
        "stdin": secret(archive(files)),
        "create": "sudo -n bash .q8s/run-step.sh demo-x86-0 10.0.0.7",
    }
    kind = "command:remote:Command"
    return {"type": kind, "urn": f"urn:{name}", "inputs": inputs, "outputs": {**inputs, "stdout": stdout}}


DEPLOYMENT: Final = {
    "resources": [
        {
            "type": "command:local:Command",
            "urn": "urn:pulumi:dev::q8s::command:local:Command::dev-keys",
            "outputs": {
                "stdout": secret(
                    json.dumps({"privateKey": PRIVATE, "publicKey": "ssh-ed25519 AAAAC3Nz q8s", "hostKeySeed": SEED})
                )
            },
        },
        command(
            "demo-x86-0-guest",
            {
                "join.json": json.dumps(JOIN),
                "states.key": STATES_CREDENTIAL,
                "seed/user-data": "#cloud-config\nhostname: demo\npackages: [containerd]\n",
                "proxy.env": f"https_proxy=http://demo:{quote(PROXY, safe='')}@proxy:3128\nno_proxy=10.0.0.0/8\n",
                "registry/r.io/hosts.toml": 'server = "https://r.io"\nAuthorization = "Basic '
                f'{base64.b64encode(b"demo:" + REGISTRY.encode()).decode()}"\n',
            },
        ),
        command(
            "demo-control-plane-1-join",
            {"kubeadm.yaml": f"certificateKey: {CERTIFICATE_KEY}\nnodeRegistration: {{name: demo}}\n", "token": TOKEN},
        ),
        command("demo-init", {}, secret(json.dumps({"kubeconfig": KUBECONFIG, "caCertHash": "sha256:" + "ab" * 32}))),
        {
            "type": "pulumi:providers:openstack",
            "urn": "urn:p",
            "inputs": {
                "userName": "demo",
                "password": secret(PASSPHRASE),
                "extra": [{"deep": secret(PROXY)}, secret(BRACKET)],
            },
        },
        {"type": "pulumi:pulumi:Stack", "urn": "urn:s", "outputs": {"kubeconfig": secret(KUBECONFIG)}},
    ]
}
MACHINES = ["host/demo-x86-0", "guest/demo-x86-0", "host/demo-control-plane-0"]
KNOWN = {
    "private key": PRIVATE,
    "seed": SEED,
    "bastion's key": BASTION,
    "client's key": CLIENT,
    "client-key-data": CLIENT_DATA,
    "token": TOKEN,
    "certificate key": CERTIFICATE_KEY,
    "states' key": states_key(SEED),
    "states' credential": STATES_CREDENTIAL.split()[1],
    "snapshots' key": snapshot_key(SEED).hex(),
    "registry's": base64.b64encode(b"demo:" + REGISTRY.encode()).decode(),
    "proxy's password": PROXY,
    "passphrase": PASSPHRASE,
    "no JSON": BRACKET,
    **{machine: derive(SEED, machine).private for machine in MACHINES},
}


def in_base64(value: str, before: str) -> str:
    return base64.b64encode(f"{before}{value} after".encode()).decode()


def middle(value: str, count: int) -> str:
    """Lines of a key without its head and tail, a word as it is."""
    lines = value.splitlines()
    return "\n".join(lines[1 : 1 + count]) if len(lines) > 2 else value


# Forms, none of which has a name or a frame by which a pattern would find it.
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in a sentence": lambda value: f"using {value} now",
    "in brackets": lambda value: f"[{value}]",
    "beside letters": lambda value: f"x={value}&y=1",
    "in a line's middle": lambda value: f"{value.strip()}: refused",
    "JSON": json.dumps,
    "JSON in JSON": lambda value: json.dumps(json.dumps([value])),
    "JSON in UTF-8": lambda value: json.dumps(value, ensure_ascii=False),
    "Python": repr,
    "shell": lambda value: "'" + value.replace("'", "'\\''") + "'",
    "YAML": lambda value: "'" + value.replace("'", "''") + "'",
    "XML": html.escape,
    "URL": quote,
    "URL, whole": lambda value: quote(value, safe=""),
    "form": quote_plus,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 of a line": lambda value: base64.b64encode(f"{value}\n".encode()).decode(),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "base64 without padding": lambda value: base64.b64encode(value.encode()).decode().rstrip("="),
    "base64 in lines": lambda value: base64.encodebytes(value.encode()).decode(),
    "base64 in the middle": lambda value: in_base64(value, "abc"),
    "base64 in the middle, shifted": lambda value: in_base64(value, "ab"),
    "base64 in the middle, shifted twice": lambda value: in_base64(value, "a"),
    "hex": lambda value: value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    "hex with colons": lambda value: value.encode().hex(":"),
    "hex with spaces": lambda value: value.encode().hex(" "),
    "first lines": lambda value: middle(value, 2),
    "one line": lambda value: middle(value, 1),
    "one line in base64": lambda value: base64.b64encode(middle(value, 1).encode()).decode(),
    "indented": lambda value: "".join(f"    {line}\n" for line in value.splitlines()),
    "in a journal": lambda value: "".join(f"Nov 29 demo-x86-0 sh[1]: {line}\n" for line in value.splitlines()),
    "with CR": lambda value: value.replace("\n", "\r\n"),
    "with escape sequences": lambda value: "".join(f"{value[at : at + 5]}\x1b[0m" for at in range(0, len(value), 5)),
    "coloured": lambda value: f"\x1b[31m{value}\x1b[0m",
    "without its head": lambda value: value[40:] if "\n" in value else value,
    "without its tail": lambda value: value[:-30] if "\n" in value.strip() else value,
    "quoted": lambda value: f'"{value}"',
    "argument": lambda value: f"tool --x {value} --node demo-x86-0",
    "in a list": lambda value: f"['x', {value!r}]",
    "twice": lambda value: f"{value}{value}",
    "diff": lambda value: "".join(f"+{line}\n" for line in value.splitlines()),
}
AROUND = "demo-x86-0 10.0.0.7 debian bastion.example https://10.0.0.5:6443 sha256:" + "ab" * 32


def parts(value: str) -> set[str]:
    """What must not be there: the value, its lines, and its encodings (from which a reader would get it back)."""
    lines = [line for line in value.splitlines() if len(line) >= 20 and "-----" not in line]
    # A token's public half may stay.
    plain = {value.rpartition(".")[2]} if value == TOKEN else {value, *lines}
    found = set()
    for each in plain:
        raw = each.encode()
        found |= {each, quote(each, safe=""), json.dumps(each)[1:-1], raw.hex(), html.escape(each)}
        found |= {base64.b64encode(raw).decode().rstrip("=")[:-1], base64.urlsafe_b64encode(raw).decode()[:-4]}
    return found


def test_no_secret_of_the_stack_is_in_the_archive_in_any_form(tmp_path: Path) -> None:
    documents = {
        f"demo-x86-0/host/{number}.log": f"{AROUND}\n{write(value)}\n{AROUND}\n"
        for number, (write, value) in enumerate((write, value) for write in FORMS.values() for value in KNOWN.values())
    }
    path = tmp_path / "logs.tar.gz"
    write_archive(path, documents, Redactor(stack_values(DEPLOYMENT, MACHINES)))
    with tarfile.open(path) as tar:
        texts = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert set(texts) == set(documents)
    everything = b"\0".join(texts.values())
    for name, value in KNOWN.items():
        for part in parts(value):
            assert part.encode() not in everything, name
    for text in texts.values():
        lines = text.decode().splitlines()
        assert (lines[0], lines[-1]) == (AROUND, AROUND)


@pytest.mark.parametrize("form", FORMS)
def test_known_secret_is_removed_in_this_form(form: str) -> None:
    redact = Redactor(stack_values(DEPLOYMENT, MACHINES))
    for name, value in KNOWN.items():
        said = redact(f"{AROUND}\n{FORMS[form](value)}\n{AROUND}")
        assert not [part for part in parts(value) if part in said], (name, said)
        assert "[removed]" in said, name


def test_public_parts_of_the_state_are_no_secrets() -> None:
    values = stack_values(DEPLOYMENT, MACHINES)
    for public in ("10.0.0.7", "debian", "bastion.example", "demo.q8s.internal", "192.168.90.1", "containerd", "r.io"):
        assert public not in values
    assert Redactor(values)(AROUND) == AROUND
    assert Redactor(values)("hostname: demo, packages: [containerd], node-ip: 10.0.0.7, cgroup-root: /").endswith(": /")
    assert all(len(value) > 5 for value in values)


def test_state_without_keys_has_no_values() -> None:
    assert stack_values({"resources": []}, MACHINES) == frozenset()
