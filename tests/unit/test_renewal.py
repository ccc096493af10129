"""A control plane renews its certificates by itself once they are due, and only then."""

from __future__ import annotations

import base64
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.hostscript import LIMIT, stand_in
from tests.unit.stephost import NODE, StepHost

DAY = 86_400
FILES = (
    *("pki/apiserver.crt", "pki/apiserver-etcd-client.crt", "pki/apiserver-kubelet-client.crt"),
    *("pki/front-proxy-client.crt", "pki/etcd/server.crt", "pki/etcd/peer.crt", "pki/etcd/healthcheck-client.crt"),
    *("admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf"),
)
AUTHORITIES = ("pki/ca.crt", "pki/etcd/ca.crt", "pki/front-proxy-ca.crt")
CTR = """
case $3 in
containers) echo container ;;
tasks) echo "container $(<@HOME@/pid) RUNNING"; echo $((1000000 + RANDOM)) >@HOME@/pid ;;
esac
"""
"""containerd, whose containers have another process each time."""


def place(host: StepHost, name: str, *, made: float, left: float) -> None:
    """A certificate that was made so many days ago and has so many days left; its authority is three years old."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=3 * 365)).not_valid_after(now + timedelta(days=left))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    file = host.at("/etc/kubernetes") / name
    file.parent.mkdir(parents=True, exist_ok=True)
    user = b"users:\n- user:\n    client-certificate-data: " + base64.b64encode(pem) + b"\n"
    file.write_bytes(user if name.endswith(".conf") else pem)
    then = time.time() - made * DAY
    os.utime(file, (then, then))


@pytest.fixture
def host(tmp_path: Path) -> StepHost:
    """A control plane with certificates that were made yesterday for a year, by authorities that end soon."""
    made = StepHost.made(tmp_path)
    for name in FILES:
        place(made, name, made=1, left=364)
    for name in AUTHORITIES:
        place(made, name, made=3600, left=1)
    (tmp_path / "pid").write_text("999999")
    programs = {"ctr": CTR.replace("@HOME@", str(tmp_path)), "kubectl": "exit 0"}
    for name, does in {**programs, "kubeadm": f'echo "$*" >>{tmp_path}/kubeadm', "kill": "exit 0"}.items():
        stand_in(tmp_path / "programs", name, does)
    return made


def looked(host: StepHost) -> list[str]:
    """What kubeadm is asked for when the timer looks."""
    words = ["step=renew-certificates", f"node={NODE}", "layer=Kubernetes", "when=due"]
    done = subprocess.run(
        ["bash", "./renew-certificates.sh", *words],
        cwd=host.root / "home/.q8s", env=host.environment, capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked = host.root / "kubeadm"
    return asked.read_text().splitlines() if asked.exists() else []


def test_certificates_of_yesterday_stay_however_old_their_authority_is(host: StepHost) -> None:
    assert looked(host) == []


@pytest.mark.parametrize("name", FILES)
def test_any_certificate_in_its_last_third_is_due(host: StepHost, name: str) -> None:
    place(host, name, made=245, left=120)
    assert looked(host) == ["certs renew all"]


@pytest.mark.parametrize(
    ("made", "left", "due"),
    [(243, 122, False), (244, 121, True), (0.6, 0.4, False), (0.7, 0.3, True), (400, -35, True), (-2, 30, False)],
    ids=["just not", "just", "of a day, not", "of a day", "expired", "of a clock that was set back"],
)
def test_a_third_of_its_own_time_is_left(host: StepHost, made: float, left: float, *, due: bool) -> None:
    place(host, "pki/apiserver.crt", made=made, left=left)
    assert bool(looked(host)) == due


def test_a_host_without_a_cluster_has_nothing_to_renew(host: StepHost) -> None:
    for name in (*FILES, *AUTHORITIES):
        (host.at("/etc/kubernetes") / name).unlink()
    assert looked(host) == []


def test_an_unread_kubeconfig_of_before_is_old_then(host: StepHost) -> None:
    outcome = host.at("/run/q8s") / "demo-control-plane-0-init" / "outcome"
    outcome.parent.mkdir(parents=True)
    outcome.write_text("0")
    place(host, "admin.conf", made=300, left=65)
    assert looked(host)
    assert outcome.stat().st_mtime == 0
