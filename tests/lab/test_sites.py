"""Sites without a plain way out: by a proxy alone, and to mirrors that only an authority of their own vouches for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from openstack.connection import Connection

from lab import demo, layout
from lab.demo import run_pod
from lab.services import accepts, wait_until
from tests.lab.test_access import NAME, brought_up
from tests.unit.certificate import authority, server

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

PROXY_PORT = 3128
MIRRORS = f"{layout.MIRROR_PORT},{layout.REGISTRY_PORT}"
NODES = {f"{NAME}-control-plane-0": "True", f"{NAME}-x86-small-0": "True"}
NGINX = """
daemon off;
error_log stderr;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    proxy_max_temp_file_size 0;
    ssl_certificate {folder}/server.crt;
    ssl_certificate_key {folder}/server.key;
    server {{ listen {address}:{files} ssl; location / {{ proxy_pass http://{address}:{mirror}; }} }}
    server {{
        listen {address}:{images} ssl;
        location / {{ proxy_pass http://{address}:{registry}; proxy_set_header Host $http_host; }}
    }}
}}
"""
FILES_PORT, IMAGES_PORT = 8443, 5443


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


@contextmanager
def mirrors_over_tls(folder: Path) -> Iterator[str]:
    """The lab's mirrors with a certificate of an authority that nobody knows; yields that one's own."""
    pair = server("site", layout.MIRROR_ADDRESS)
    (folder / "server.crt").write_text(pair.pem)
    (folder / "server.key").write_text(pair.key_pem)
    (folder / "nginx.conf").write_text(
        NGINX.format(
            folder=folder,
            address=layout.MIRROR_ADDRESS,
            files=FILES_PORT,
            images=IMAGES_PORT,
            mirror=layout.MIRROR_PORT,
            registry=layout.REGISTRY_PORT,
        )
    )
    nginx = subprocess.Popen(["nginx", "-e", "stderr", "-c", folder / "nginx.conf"])
    try:
        wait_until("the mirrors over TLS", lambda: accepts(layout.MIRROR_ADDRESS, IMAGES_PORT), seconds=30)
        yield authority("site").pem
    finally:
        nginx.terminate()
        nginx.wait(30)


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


def test_a_site_with_an_authority_of_its_own(cloud: Connection, tmp_path: Path) -> None:
    described = json.dumps(demo.description("dev", name=NAME)["q8s:cluster"])
    plain, tls = f"http://{layout.MIRROR_ADDRESS}", f"https://{layout.MIRROR_ADDRESS}"
    moved = json.loads(
        described.replace(f"{plain}:{layout.REGISTRY_PORT}", f"{tls}:{IMAGES_PORT}").replace(
            f"{plain}/", f"{tls}:{FILES_PORT}/"
        )
    )
    with mirrors_over_tls(tmp_path) as authority, no_other_way():
        moved["sources"]["caCertificates"] = authority
        changes = {"workers": {"x86-small": 1}, "sources": moved["sources"], "guestImages": moved["guestImages"]}
        with brought_up(cloud, tmp_path, **changes) as kubectl:
            assert kubectl.ready() == NODES
            # The image is pulled in the guest.
            assert run_pod(kubectl, "amd64").endswith("x86_64")
