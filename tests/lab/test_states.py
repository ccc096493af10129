"""Workers of one type from one state: all of them others, and a cluster."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from openstack.connection import Connection

from lab import demo
from lab.kubectl import Kubectl
from tests.lab.conftest import brought_up
from tests.lab.test_cluster import LOOK
from tests.lab.test_cluster_changes import CLOCK_SECONDS

pytestmark = [pytest.mark.full, pytest.mark.timeout(2400)]

NAME, TYPE, COUNT = "many", "x86-small", 5
"""Ten were resumed within ten seconds here; but ten idle ones are all that two cores can do (docs/decisions/0005)."""
WORKERS = [f"{NAME}-{TYPE}-{number}" for number in range(COUNT)]
OWN = (
    "cat /etc/hostname",
    "cat /etc/machine-id",
    "cat /etc/ssh/ssh_host_ecdsa_key.pub",
    "openssl x509 -noout -subject -in /var/lib/kubelet/pki/kubelet-client-current.pem",
    "openssl x509 -noout -pubkey -in /var/lib/kubelet/pki/kubelet-client-current.pem",
    "head -c 32 /dev/urandom | od -An -x",
)
"""What each guest has for itself; none of it is long enough to be the same by chance."""


def test_workers_from_one_state(cloud: Connection, tmp_path: Path) -> None:
    config = demo.description("dev", name=NAME)
    cluster = config["q8s:cluster"]
    cluster["workers"] = {TYPE: COUNT}
    cluster["nodeTypes"][TYPE] |= {"memory": "1GiB", "disk": "6GiB", "flavor": "c1.small"}
    said: list[str] = []
    with brought_up(cloud, NAME, config, on_output=said.append) as stack:
        kubectl = Kubectl.of(stack, tmp_path / "kubeconfig")
        assert kubectl.ready() == dict.fromkeys([f"{NAME}-control-plane-0", *WORKERS], "True")
        text = "\n".join(said)
        boots = {worker for worker in WORKERS if f"{worker}: boots, as the first one of type {TYPE}" in text}
        goes_on = {worker for worker in WORKERS if f"{worker}: going on from the state" in text}
        assert (len(boots), goes_on) == (1, set(WORKERS) - boots)

        (tmp_path / "looks.yaml").write_text(yaml.safe_dump_all(yaml.safe_load(LOOK % {"node": it}) for it in WORKERS))
        kubectl("apply", "-f", str(tmp_path / "looks.yaml"))
        kubectl("wait", "pod", "-l", "app=look", "--for=condition=Ready", "--timeout=300s")

        def guest(worker: str, command: str) -> str:
            return kubectl("exec", f"look-{worker}", "--", "busybox", "chroot", "/host", "/bin/sh", "-c", command)

        for command in OWN:
            told = {guest(worker, command) for worker in WORKERS}
            assert len(told - {""}) == COUNT, command
        for worker in WORKERS:
            assert abs(float(guest(worker, "date +%s.%N")) - time.time()) < CLOCK_SECONDS
        addresses = [pod["status"]["podIP"] for pod in kubectl.get("pods", "-l", "app=look")["items"]]

        def reaches(pair: tuple[str, str]) -> bool:
            worker, address = pair
            return guest(worker, f"curl -s --max-time 30 http://{address}:8080/hostname").strip() in WORKERS

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(reaches, [(worker, address) for worker in WORKERS for address in addresses]))
