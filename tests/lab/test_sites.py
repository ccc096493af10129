"""Sites that hosts can't leave as they like: one where all goes by a proxy."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from openstack.connection import Connection

from lab import layout
from lab.demo import run_pod
from lab.services import accepts, wait_until
from tests.lab.test_access import NAME, brought_up

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

PROXY_PORT = 3128
MIRRORS = f"{layout.MIRROR_PORT},{layout.REGISTRY_PORT}"
NODES = {f"{NAME}-control-plane-0": "True", f"{NAME}-x86-small-0": "True"}


@contextmanager
def proxy(folder: Path) -> Iterator[Path]:
    """A proxy where hosts reach it; yields the log of what it was asked for."""
    log = folder / "proxy.log"
    configuration = folder / "proxy.conf"
    configuration.write_text(
        f'Port {PROXY_PORT}\nListen {layout.MIRROR_ADDRESS}\nTimeout 600\nLogFile "{log}"\nLogLevel Connect\n'
    )
    server = subprocess.Popen(["tinyproxy", "-d", "-c", configuration])
    try:
        wait_until("the proxy", lambda: accepts(layout.MIRROR_ADDRESS, PROXY_PORT), seconds=30)
        yield log
    finally:
        server.terminate()
        server.wait(30)


@contextmanager
def no_other_way() -> Iterator[None]:
    """Hosts reach none of the lab's mirrors by themselves."""
    mirrors = ["--destination", layout.MIRROR_ADDRESS, "--protocol", "tcp", "--match", "multiport", "--dports", MIRRORS]
    rule = ["INPUT", "--source", layout.PRIVATE_CIDR, *mirrors, "--jump", "REJECT"]
    subprocess.run(["iptables", "--wait", "--insert", *rule], check=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "--wait", "--delete", *rule], check=True)


def test_a_cluster_behind_a_proxy_with_no_other_way_out(cloud: Connection, tmp_path: Path) -> None:
    changes = {
        "workers": {"x86-small": 1},
        "network": {"name": layout.PRIVATE_NETWORK, "cidr": layout.PRIVATE_CIDR},
        "proxy": {"http": f"http://{layout.MIRROR_ADDRESS}:{PROXY_PORT}"},
    }
    with proxy(tmp_path) as log, no_other_way(), brought_up(cloud, tmp_path, **changes) as kubectl:
        assert kubectl.ready() == NODES
        # The image is pulled in the guest.
        assert run_pod(kubectl, "amd64").endswith("x86_64")
        asked = {urlsplit(word) for line in log.read_text().splitlines() for word in line.split() if "://" in word}
        ports = {url.port or layout.MIRROR_PORT for url in asked if url.hostname == layout.MIRROR_ADDRESS}
        assert ports == {layout.MIRROR_PORT, layout.REGISTRY_PORT}
        # What is the cluster's own does not go there.
        assert {url.hostname for url in asked} == {layout.MIRROR_ADDRESS}
