"""Sites without a plain way out: by a proxy alone, and to mirrors that only an authority of their own vouches for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from openstack.connection import Connection

from lab import demo, layout
from lab.demo import run_pod
from lab.mirrors.authority import NAMES
from lab.mirrors.serve import TLS_PORT
from lab.services import accepts, wait_until
from tests.lab import mirrored
from tests.lab.servers import DISKLESS
from tests.lab.test_access import NAME, brought_up, described
from tests.unit.certificate import authority, server

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

PROXY_PORT = 3128
MIRRORS = f"{layout.MIRROR_PORT},{layout.REGISTRY_PORT},{TLS_PORT}"
REQUEST = re.compile(r"Request \(file descriptor \d+\): [A-Z]+ (\S+) HTTP/")
NODES = {f"{NAME}-control-plane-0": "True", f"{NAME}-x86-small-0": "True"}
NGINX = """
daemon off;
user root;
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
        auth_basic {realm};
        auth_basic_user_file {folder}/users;
        location / {{ proxy_pass http://{address}:{registry}; proxy_set_header Host $http_host; }}
    }}
}}
"""
FILES_PORT, IMAGES_PORT = 8443, 5443
USER, PASSWORD = "puller", "correct-horse-battery"
PULLED = re.compile(rf' - {USER} \[[^]]*\] "GET /v2/(\S+)/manifests/\S+ HTTP/1.1" 200 ')


@contextmanager
def proxy(folder: Path) -> Iterator[Path]:
    """A proxy where hosts reach it; yields the log of what it was asked for."""
    log = folder / "proxy.log"
    configuration = folder / "proxy.conf"
    configuration.write_text(
        f'Port {PROXY_PORT}\nListen {layout.MIRROR_ADDRESS}\nTimeout 600\nLogFile "{log}"\nLogLevel Connect\n'
    )
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {layout.MIRROR_ADDRESS}\n")
    # It asks the lab's name server, and what else runs here goes on to ask the machine's.
    script = 'mount --bind "$1" /etc/resolv.conf && exec tinyproxy -d -c "$2"'
    server = subprocess.Popen(["unshare", "--mount", "sh", "-c", script, "sh", resolver, configuration])
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
def mirrors_over_tls(folder: Path, realm: str = "off") -> Iterator[str]:
    """The lab's mirrors with a certificate of an authority that nobody knows; yields that one's own.

    Args:
        folder: for the server's files; ``access.log`` has who asked for what.
        realm: of the registry's users; by default it lets everybody in.
    """
    (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
    pair = server("site", layout.MIRROR_ADDRESS)
    (folder / "server.crt").write_text(pair.pem)
    (folder / "server.key").write_text(pair.key_pem)
    (folder / "nginx.conf").write_text(
        NGINX.format(
            folder=folder,
            realm=realm,
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
        asked = {urlsplit(to if "://" in to else f"//{to}").hostname for to in REQUEST.findall(log.read_text())}
        # All that is fetched, and nothing of what is the cluster's own.
        assert asked == set(NAMES)


def test_a_site_with_an_authority_of_its_own(cloud: Connection, tmp_path: Path) -> None:
    tls = f"https://{layout.MIRROR_ADDRESS}"
    moved = mirrored.described(f"{tls}:{FILES_PORT}", f"{tls}:{IMAGES_PORT}")
    with mirrors_over_tls(tmp_path) as authority, no_other_way():
        moved["sources"]["caCertificates"] = authority
        with brought_up(cloud, tmp_path, workers={"x86-small": 1}, **moved) as kubectl:
            assert kubectl.ready() == NODES
            # The image is pulled in the guest.
            assert run_pod(kubectl, "amd64").endswith("x86_64")


def test_a_cluster_whose_flavors_have_no_disk(cloud: Connection, tmp_path: Path) -> None:
    here = described(workers={"x86-small": 1})["q8s:cluster"]
    volume = {"flavor": DISKLESS, "bootVolume": {"size": "40GiB"}}
    changes = {
        "workers": {"x86-small": 1},
        "controlPlanes": {**here["controlPlanes"], **volume},
        "nodeTypes": {name: {**each, **volume} for name, each in here["nodeTypes"].items()},
    }
    with brought_up(cloud, tmp_path, **changes) as kubectl:
        assert kubectl.ready() == NODES
        assert run_pod(kubectl, "amd64").endswith("x86_64")
        hosts = {cloud.compute.find_server(name).id for name in NODES}
        attached = {
            each.attachments[0]["server_id"]: each.size for each in cloud.block_storage.volumes() if each.attachments
        }
        assert {host: attached.get(host) for host in hosts} == dict.fromkeys(hosts, 40)


def test_a_cluster_with_a_zone_a_server_group_and_config_drives(cloud: Connection, tmp_path: Path) -> None:
    here = described()["q8s:cluster"]
    (zone,) = (each.name for each in cloud.compute.availability_zones())
    changes = {
        "controlPlanes": {**here["controlPlanes"], "availabilityZone": zone},
        "antiAffinity": "soft",
        "configDrive": True,
    }
    with brought_up(cloud, tmp_path, **changes) as kubectl:
        first = f"{NAME}-control-plane-0"
        assert kubectl.ready() == {first: "True"}
        server = cloud.compute.find_server(first, details=True)
        assert (server.availability_zone, bool(server.has_config_drive)) == (zone, True)
        (group,) = cloud.compute.server_groups()
        assert (group.policy, group.member_ids) == ("soft-anti-affinity", [server.id])


def test_a_registry_with_a_mirror_an_authority_and_a_password_of_its_own(cloud: Connection, tmp_path: Path) -> None:
    with mirrors_over_tls(tmp_path, "registry") as authority:
        mirror = {
            "mirror": f"https://{layout.MIRROR_ADDRESS}:{IMAGES_PORT}",
            "caCertificates": authority,
            "username": USER,
            "password": PASSWORD,
        }
        here = demo.description("dev", name=NAME)["q8s:cluster"]["sources"]
        changes = {"workers": {"x86-small": 1}, "sources": {**here, "registries": {"docker.io": mirror}}}
        with brought_up(cloud, tmp_path, **changes) as kubectl:
            assert kubectl.ready() == NODES
            assert run_pod(kubectl, "amd64").endswith("x86_64")
            # By the control plane, for the payload, and by the guest.
            pulled = set(PULLED.findall((tmp_path / "access.log").read_text()))
            assert pulled == {"flannel/flannel", "flannel/flannel-cni-plugin", "library/busybox"}
