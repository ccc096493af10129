"""Shapes of secrets in logs: each is removed, and what stands beside it stays."""

from __future__ import annotations

import base64
import json

import pytest

from q8s_infra.diagnose import Redactor
from q8s_infra.diagnose.patterns import REDACTED

S = "Xy7!tqZ-93.wpLm"
"""A password as people make them."""
SPACED = "correct horse 7 battery"
ALNUM = "k3JfQ81mZx0PwT5yRb2NcV7d"
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
B64 = "dXNlcjpYeTd0cVo5M3dwTG0="
DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
BODY = [base64.b64encode(bytes((7 * line + at * 31) % 256 for at in range(48))).decode() for line in range(6)]
PEM = "\n".join(["-----BEGIN EC PRIVATE KEY-----", *BODY, "Zm9vYmE=", "-----END EC PRIVATE KEY-----"])
JWT = f"eyJhbGciOiJSUzI1NiIsImtpZCI6IkFCQyJ9.eyJzdWIiOiJzeXN0ZW06bm9kZSJ9.{ALNUM}{ALNUM}"
TOKEN = "abcdef.0123456789abcdef"
JOURNAL = "Nov 29 14:00:00 demo-x86-0 sh[812]: "

# Texts with a secret, the secret (all texts of which nothing may be left), and what must stay.
SHAPES: dict[str, tuple[str, list[str], list[str]]] = {
    "quoted with spaces": (f'password: "{SPACED}" on demo-x86-0', [SPACED], ["on demo-x86-0"]),
    "quoted with a quote": ('password="ab\\"cd9 ef" on demo-x86-0', ["ab", "cd9 ef"], ["on demo-x86-0"]),
    "single quotes, doubled": ("password: 'it''s s3cret' # of 10.0.0.7", ["s3cret"], ["# of 10.0.0.7"]),
    "shell's quotes": ("PASSWORD='it'\\''s s3cret' run", ["s3cret"], ["run"]),
    "a quote that is cut off": (f'password: "{SPACED}', ["horse"], []),
    "plain YAML with spaces": (f"  password: {SPACED}\n  host: 10.0.0.7", [SPACED], ["host: 10.0.0.7"]),
    "JSON": (json.dumps({"password": SPACED, "node": "demo-arm-0"}), [SPACED], ['"node": "demo-arm-0"']),
    "escaped JSON": (json.dumps(json.dumps({"password": SPACED, "n": "demo-0"})), [SPACED], ["demo-0"]),
    "twice escaped JSON": (json.dumps(json.dumps(json.dumps({"token": ALNUM, "n": "demo-0"}))), [ALNUM], ["demo-0"]),
    "client_secret": (f"client_secret={S}&grant_type=code", [S], ["grant_type=code"]),
    "clientSecret": (f'{{"clientSecret":"{S}","clientId":"demo"}}', [S], ['"clientId":"demo"']),
    "bare JWT": (f"{JOURNAL}sent {JWT} to 10.0.0.7", [JWT, ALNUM], ["demo-x86-0", "to 10.0.0.7"]),
    "PEM": (f"a\n{PEM}\nb demo-x86-0", [*BODY, "Zm9vYmE="], ["b demo-x86-0", "-----BEGIN EC PRIVATE KEY-----"]),
    "PEM in JSON": (json.dumps({"key": PEM, "node": "demo-0"}), [*BODY, "Zm9vYmE="], ['"node": "demo-0"']),
    "PEM in a journal": (
        "".join(f"{JOURNAL}{line}\n" for line in [*PEM.splitlines(), "demo-0 is up"]), BODY, ["demo-0 is up"],
    ),
    "PEM without its head": (
        "\n".join([*PEM.splitlines()[2:], "node demo-0 is up"]), [*BODY[1:], "Zm9vYmE="], ["node demo-0 is up"],
    ),
    "PEM cut within a line": (
        "\n".join([BODY[1][20:], *PEM.splitlines()[3:], "node demo-0"]), [BODY[1][20:], *BODY[2:]], ["node demo-0"],
    ),
    "PEM without its tail": ("\n".join(["up", *PEM.splitlines()[:4], BODY[3][:9]]), [*BODY[:3], BODY[3][:9]], ["up"]),
    "PEM whose rest is not there": (
        "\n".join([*PEM.splitlines()[:4], "Nov 29 kubelet: starting"]), BODY[:3], ["Nov 29 kubelet: starting"],
    ),
    "PEM's middle": ("\n".join(["before", *BODY[1:5], "after demo-0"]), BODY[1:5], ["before", "after demo-0"]),
    "PEM without its head, in a journal": (
        "".join(f"{JOURNAL}{line}\n" for line in [*PEM.splitlines()[2:], "up"]), BODY[1:], ["demo-x86-0 sh[812]: up"],
    ),
    "base64 of PEM": (
        f"client-key-x {base64.b64encode(PEM.encode()).decode()} demo-0",
        [base64.b64encode(PEM.encode()).decode()[30:80]], ["demo-0"],
    ),
    "base64 of PEM in lines": (
        f"data:\n{base64.encodebytes(PEM.encode()).decode()}node demo-0",
        base64.encodebytes(PEM.encode()).decode().split()[1:-1], ["node demo-0"],
    ),
    "base64 of a document": (
        f"content: {base64.b64encode(f'user: a{chr(10)}password: {S}'.encode()).decode()} demo-0",
        [base64.b64encode(f"user: a\npassword: {S}".encode()).decode()], ["demo-0"],
    ),
    "hex of PEM": (f"dump {PEM.encode().hex()} demo-0", [PEM.encode().hex()[80:120]], ["demo-0"]),
    "token in a query": (f"GET /x?token={ALNUM}&node=demo-0 HTTP/1.1", [ALNUM], ["node=demo-0 HTTP/1.1"]),
    "signature in a query": (
        f"https://s3/x?X-Amz-Signature={HEX}&X-Amz-Expires=60", [HEX], ["X-Amz-Expires=60"],
    ),
    "temporary URL": (f"GET /v1/c/o?temp_url_sig={HEX}&temp_url_expires=99", [HEX], ["temp_url_expires=99"]),
    "user and password in a URL": (f"via http://demo:{S}@proxy:3128/ ok", [S], ["http://demo:", "@proxy:3128/ ok"]),
    "password with an @ in a URL": ("http://demo:p9@ss@proxy:3128/ ok", ["p9", "ss@"], ["@proxy:3128/ ok"]),
    "token as a URL's user": (f"clone https://{ALNUM}@git.example/x", [ALNUM], ["@git.example/x"]),
    "database's URL": (f"postgres://demo:{S}@10.0.0.7:5432/db", [S], ["10.0.0.7:5432/db"]),
    "user:password@host": (f"proxy demo:{S}@10.0.0.7:3128 refused", [S], ["10.0.0.7:3128 refused"]),
    "bootstrap token": (f"token {TOKEN} of demo-0", [TOKEN[7:]], ["abcdef.", "of demo-0"]),
    "kubeadm join": (
        f"kubeadm join api:6443 --token {TOKEN} --discovery-token-ca-cert-hash sha256:{DIGEST}",
        [TOKEN[7:]], ["api:6443", f"sha256:{DIGEST}"],
    ),
    "certificate key": (f"--certificate-key {HEX} --v=5", [HEX], ["--v=5"]),
    "certificate key on its own line": (
        f"[upload-certs] Using certificate key:\n{HEX}\n[mark] demo-0", [HEX], ["[mark] demo-0"],
    ),
    "certificateKey": (f"certificateKey: {HEX}\nnode: demo-0", [HEX], ["node: demo-0"]),
    "Authorization: Bearer": (f"Authorization: Bearer {ALNUM} for demo-0", [ALNUM], ["for demo-0"]),
    "Authorization: Basic": (f"> authorization: Basic {B64}\n> Host: demo", [B64], ["> Host: demo"]),
    "Authorization of no scheme": (f'"Authorization": "{ALNUM}", "Host": "demo"', [ALNUM], ['"Host": "demo"']),
    "Authorization: Digest": (f'Authorization: Digest username="d", response="{HEX}"\nx', [HEX], ["x"]),
    "Proxy-Authorization": (f"Proxy-Authorization: Basic {B64}\nHost: demo", [B64], ["Host: demo"]),
    "Go's headers": (f"map[Authorization:[Bearer {ALNUM}] Accept:[*/*]]", [ALNUM], ["Accept:[*/*]"]),
    "X-Auth-Token": (f"-H 'X-Auth-Token: gAAAAA{ALNUM}' http://nova", [ALNUM], ["http://nova"]),
    "X-Subject-Token": (f"X-Subject-Token: {HEX}\nVary: X", [HEX], ["Vary: X"]),
    "Cookie": (f"Cookie: session={ALNUM}; id=7\nHost: demo", [ALNUM], ["Host: demo"]),
    "Set-Cookie": (f"< set-cookie: sid={ALNUM}; Path=/\n< date: now", [ALNUM], ["< date: now"]),
    "application credential": (f"OS_APPLICATION_CREDENTIAL_SECRET={S} openstack", [S], ["openstack"]),
    "clouds.yaml": (
        f"auth:\n  auth_url: https://keystone:5000\n  application_credential_secret: {S}\nregion: One",
        [S], ["https://keystone:5000", "region: One"],
    ),
    "docker's configuration": (f'{{"auths":{{"r.io":{{"auth":"{B64}"}}}}}}', [B64], ['"r.io"']),
    "docker's identity token": (f'"identitytoken": "{ALNUM}", "x": 1', [ALNUM], ['"x": 1']),
    "netrc": (f"machine r.io login demo password {S}\nmachine b", [S], ["machine r.io login demo", "machine b"]),
    "netrc in lines": (f"machine r.io\n  login demo\n  password {S}\nnext", [S], ["login demo", "next"]),
    "AWS's key id": ("AKIAIOSFODNN7EXAMPLE in eu-1", ["AKIAIOSFODNN7EXAMPLE"], ["in eu-1"]),
    "AWS's secret key": (f"aws_secret_access_key = {ALNUM}/x+y\nregion = eu-1", [ALNUM], ["region = eu-1"]),
    "--password x": (f"tool --password {S} --node demo-0", [S], ["--node demo-0"]),
    "--password=x": (f"tool --password={S} --node demo-0", [S], ["--node demo-0"]),
    "--password in a list": (f'["tool", "--password", "{SPACED}", "demo-0"]', [SPACED], ['"demo-0"']),
    "-p x": (f"docker login -u demo -p {S} r.io:5000", [S], ["r.io:5000"]),
    "-px": (f"mysqldump -h 10.0.0.7 -p{S} db", [S], ["-h 10.0.0.7", "db"]),
    "curl -u": (f"curl -u demo:{S} https://r.io", [S], ["https://r.io"]),
    "openssl -passin": (f"openssl rsa -passin pass:{S} -in k.pem", [S], ["-in k.pem"]),
    "*_PASSWORD": (f"env REGISTRY_PASSWORD={S} NODE=demo-0", [S], ["NODE=demo-0"]),
    "*_SECRET": (f"export APP_SECRET='{SPACED}'; go demo-0", [SPACED], ["go demo-0"]),
    "*_TOKEN": (f"GITHUB_TOKEN={ALNUM} make", [ALNUM], ["make"]),
    "*_KEY": (f"STATES_KEY={HEX} NODE=demo-0", [HEX], ["NODE=demo-0"]),
    "Kubernetes' environment": (
        f'{{"name":"DB_PASSWORD", "value":"{SPACED}"}},{{"name":"N"}}', [SPACED], ['"name":"N"'],
    ),
    "Kubernetes' environment in YAML": (
        f"- name: DB_PASSWORD\n  value: {ALNUM}\n- name: NODE\n  value: demo-0", [ALNUM], ["value: demo-0"],
    ),
    "block scalar": (
        f"a:\n  password: >-\n    {S}\n    second 9line\n  node: demo-0", [S, "9line"], ["a:", "  node: demo-0"],
    ),
    "block scalar in a list": (f"- secret: |\n    {S}\n\n    9more\n- x: demo-0", [S, "9more"], ["- x: demo-0"]),
    "PowerShell's variable": (f'$env:OS_PASSWORD = "{SPACED}"; Get-Node', [SPACED], ["Get-Node"]),
    "PowerShell's argument": (f"Connect -Password '{SPACED}' -Node demo-0", [SPACED], ["-Node demo-0"]),
    "ConvertTo-SecureString": (f"ConvertTo-SecureString '{SPACED}' -AsPlainText", [SPACED], ["-AsPlainText"]),
    "Go's struct": (f"{{User:demo Password:{ALNUM} Node:demo-0}}", [ALNUM], ["User:demo", "Node:demo-0"]),
    "Python's tuple": (f"('password', '{SPACED}'), ('node', 'demo-0')", [SPACED], ["'demo-0'"]),
    "Ruby's hash": (f':password=>"{SPACED}", :node=>"demo-0"', [SPACED], ["demo-0"]),
    "XML": (f"<password type='x'>{SPACED}</password><n>demo-0</n>", [SPACED], ["<n>demo-0</n>"]),
    "connection string": (f"Server=10.0.0.7;Password={ALNUM};Encrypt=yes", [ALNUM], ["10.0.0.7", "Encrypt=yes"]),
    "hash of a password": (f"root:$6$salt${ALNUM}{ALNUM}:19000:0", [ALNUM], ["root:", ":19000:0"]),
    "a sentence": (f"temporary password is generated for root@localhost: {S}\nup", [S], ["up"]),
    "GitHub's token": (f"remote ghp_{ALNUM}{ALNUM} ok", [ALNUM], ["remote", "ok"]),
    "GitLab's token": (f"glpat-{ALNUM} ok", [ALNUM], ["ok"]),
    "Pulumi's token": (f"pul-{HEX[:40]} ok", [HEX[:40]], ["ok"]),
    "WireGuard": (f"PrivateKey = {BODY[0][:43]}=\nAddress = 10.0.0.7", [BODY[0][:40]], ["Address = 10.0.0.7"]),
    "behind an escape sequence": (f"pass\x1b[1mword: \x1b[31m{S}\x1b[0m\nup", [S], ["up"]),
}  # fmt: skip

HARMLESS = [
    "10:00:00 host prepared",
    "node/demo-x86-small-0 condition met, 10.0.0.7, fd00::7, 192.168.90.0/24, 52:54:00:12:34:56",
    f"registry.k8s.io/pause:3.10.1@sha256:{DIGEST}",
    f"{DIGEST}  guest.qcow2\n{DIGEST}  payload.qcow2\n{DIGEST}  kubernetes.tar",
    "instance 6a1f0c3e-9d2b-4c7e-8a55-0f1e2d3c4b5a of project 4f1c9e0d2b3a49588c7d6e5f4a3b2c1d is ACTIVE",
    "--tls-private-key-file=/etc/kubernetes/pki/apiserver.key --service-account-key-file=/etc/kubernetes/pki/sa.pub",
    "--authorization-mode=Node,RBAC --enable-bootstrap-token-auth=true --token-auth-file=/etc/tokens",
    'E1129 14:00:00.1 812 kubelet.go:3117] "Container runtime network not ready" networkReady="NetworkReady=false"',
    'MountVolume.SetUp failed for volume "x" : secret "demo" not found',
    'Unable to authenticate the request" err="[invalid bearer token, Token has expired]"',
    "failed to get token: Unauthorized",
    "automountServiceAccountToken: false",
    "kube-system/coredns-76f75df574-abcde kube-apiserver-demo-control-plane-0_kube-system",
    "Event demo-x86-0.187f3a5b6c7d8e9f created",
    "mkdir -p /var/lib/kubelet; iptables -A q8s -p tcp --dport 6443 -j ACCEPT; docker run -u 1000:1000 x",
    "q8s-step-demo-x86-0-guest.service loaded active running bash /run/q8s/demo.Ab12Cd/work/step-unit.sh",
    "Failed password for root from 10.0.0.9 port 22 ssh2",
    "Accepted publickey for debian from 10.0.0.7 port 40000: ED25519 SHA256:Zx0PwT5yRb2NcV7dk3JfQ81mZx0PwT5yRb2NcV7",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample q8s",
    "https://10.0.0.7:6443/api/v1/nodes?limit=500&resourceVersion=0 200 OK in 15 milliseconds",
    "see https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/",
    "/var/lib/kubelet/pods/6a1f0c3e-9d2b-4c7e-8a55-0f1e2d3c4b5a/volumes/kubernetes.io~projected/kube-api-access-7xk2p",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "[    1.234567] Key type dns_resolver registered; random: crng init done",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_secret_is_removed_and_its_neighbours_stay(shape: str) -> None:
    text, secrets, neighbours = SHAPES[shape]
    said = Redactor()(f"{HARMLESS[1]}\n{text}\n{HARMLESS[3]}" if shape != "PEM without its tail" else text)
    assert REDACTED in said
    for secret in secrets:
        assert secret not in said
    for neighbour in [*neighbours, *([HARMLESS[1], HARMLESS[3]] if shape != "PEM without its tail" else [])]:
        assert neighbour in said, said


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays(text: str) -> None:
    assert Redactor()(text) == text


def test_redacting_twice_changes_nothing() -> None:
    for text, _, _ in SHAPES.values():
        once = Redactor()(text)
        assert Redactor()(once) == once


def test_endless_line_is_cut_off_and_those_beside_it_stay() -> None:
    endless = "password=" + '\\"' * 1_000_000
    said = Redactor()(f"before\n{endless}\nafter")
    assert said.startswith("before\n")
    assert said.endswith("\nafter")
    assert len(said) < 40_000
