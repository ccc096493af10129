"""Two ways to hosts that are not at hand: a bastion, and one floating address on a network of one's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection
from openstack.network.v2.router import Router
from pulumi import automation

from lab import demo, layout
from lab.artifact import REPOSITORY
from lab.kubectl import Kubectl
from lab.services import accepts, wait_until
from lab.stack import open_stack
from q8s_infra.defaults import LOOPBACK
from tests.lab import conftest
from tests.lab.conftest import q8s

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

STACK, NAME = "lab-access", "access"
CIDR, GATEWAY = "192.168.78.0/24", "192.168.78.1"
LOCAL_PORT = 16443
FLOATING = {
    "mode": "floatingIp",
    "user": "debian",
    "externalNetwork": layout.EXTERNAL_NETWORK,
    "allowedCidrs": ["10.0.0.0/8"],
}


def described(**changes: Any) -> dict[str, Any]:
    """A cluster of one control plane and no more, but for the changes."""
    return {"q8s:cluster": {**demo.description("dev", name=NAME)["q8s:cluster"], "workers": {}, **changes}}


@contextmanager
def brought_up(cloud: Connection, tmp_path: Path, **changes: Any) -> Iterator[Kubectl]:
    """What is described with the changes; taken away at the end."""
    with conftest.brought_up(cloud, NAME, described(**changes)) as stack:
        yield Kubectl.of(stack, tmp_path / "kubeconfig")


@contextmanager
def tunnel(stack: str) -> Iterator[None]:
    """With the program's own way through the stack's bastion."""
    words = [sys.executable, "-m", "q8s_infra", "tunnel", "--stack", stack]
    with subprocess.Popen(words, cwd=REPOSITORY, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until("the tunnel", lambda: accepts(LOOPBACK, LOCAL_PORT), seconds=60)
            yield
        finally:
            process.terminate()


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    """What takes back what a test made, last things first."""
    with ExitStack() as stack:
        yield stack


def test_hosts_behind_a_bastion(cloud: Connection, undo: ExitStack, tmp_path: Path) -> None:
    key = tmp_path / "key"
    host_key = tmp_path / "host"
    for path, kind in ((key, ["-t", "ed25519"]), (host_key, ["-t", "ecdsa", "-b", "256", "-m", "PEM"])):
        subprocess.run(["ssh-keygen", "-q", *kind, "-N", "", "-C", "", "-f", path], check=True)
    group = cloud.network.create_security_group(name="bastion")
    undo.callback(cloud.network.delete_security_group, group)
    cloud.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22
    )
    private = "".join(f"    {line}\n" for line in host_key.read_text().splitlines())
    public = host_key.with_suffix(".pub").read_text().strip()
    server = cloud.create_server(
        "bastion", image=layout.HOST_IMAGE, flavor="c1.small", network=layout.PRIVATE_NETWORK, auto_ip=False,
        security_groups=["bastion"],
        userdata=f"#cloud-config\nssh_authorized_keys: [{key.with_suffix('.pub').read_text().strip()}]\n"
        f"ssh_keys:\n  ecdsa_private: |\n{private}  ecdsa_public: {public}\n",
    )  # fmt: skip
    undo.callback(cloud.delete_server, server.id, wait=True, timeout=60)
    server = cloud.compute.wait_for_server(server, wait=120)
    address = server.addresses[layout.PRIVATE_NETWORK][0]["addr"]
    wait_until("the bastion's SSH", lambda: accepts(address, 22), seconds=60)

    bastion = {
        "host": address,
        "user": "debian",
        "privateKeyFile": str(key),
        "hostKey": public,
        "localPort": LOCAL_PORT,
    }
    access = {"mode": "bastion", "user": "debian", "bastion": bastion, "allowedCidrs": [f"{address}/32"]}
    # Nothing but the bastion may come in.
    with brought_up(cloud, tmp_path, access=access, workers={"x86-small": 1}) as kubectl, tunnel(STACK):
        first = cloud.compute.find_server(f"{NAME}-control-plane-0", details=True)
        assert not any(accepts(first.addresses[layout.PRIVATE_NETWORK][0]["addr"], port) for port in (22, 6443))
        assert kubectl.ready() == {f"{NAME}-control-plane-0": "True", f"{NAME}-x86-small-0": "True"}


@pytest.fixture
def own(cloud: Connection, undo: ExitStack) -> Router:
    """The router of a network of one's own, which is called so, and its one subnet too."""
    api = cloud.network
    external = api.find_network(layout.EXTERNAL_NETWORK, ignore_missing=False)
    network = api.create_network(name="own")
    undo.callback(api.delete_network, network)
    subnet = api.create_subnet(
        name="own", network_id=network.id, ip_version=4, cidr=CIDR, gateway_ip=GATEWAY, is_dhcp_enabled=False
    )
    router = api.create_router(name="own", external_gateway_info={"network_id": external.id})
    undo.callback(api.delete_router, router)
    api.add_interface_to_router(router, subnet=subnet.id)
    undo.callback(api.remove_interface_from_router, router, subnet=subnet.id)
    return router


@pytest.mark.usefixtures("own")
def test_hosts_behind_a_floating_address(cloud: Connection, tmp_path: Path) -> None:
    api = cloud.network
    network = api.find_network("own", ignore_missing=False)
    # Beside its subnet one whose addresses would not do, and on the whole network IPv6.
    pods = api.create_subnet(
        name="pods", network_id=network.id, ip_version=4, cidr="10.244.0.0/24", is_dhcp_enabled=False
    )
    api.create_subnet(name="six", network_id=network.id, ip_version=6, cidr="fd00:78::/64", is_dhcp_enabled=False)

    workers = {"x86-small": 1}
    refused = brought_up(cloud, tmp_path, access=FLOATING, network={"name": "own"}, workers=workers)
    with pytest.raises(automation.CommandError, match=r"network.subnet: is missing.*own \(192.168.78.0/24\)"), refused:
        pass
    api.delete_subnet(pods)
    with brought_up(cloud, tmp_path, access=FLOATING, network={"name": "own"}, workers=workers) as kubectl:
        ready = kubectl.ready()
        assert ready == {f"{NAME}-control-plane-0": "True", f"{NAME}-x86-small-0": "True"}
        addresses = {
            node["metadata"]["name"]: each["address"]
            for node in kubectl.get("nodes")["items"]
            for each in node["status"]["addresses"]
            if each["type"] == "InternalIP"
        }
        assert all(address.startswith("192.168.78.") for address in addresses.values())
        (floating,) = (ip for ip in api.ips() if ip.fixed_ip_address in addresses.values())
        assert floating.fixed_ip_address == addresses[f"{NAME}-control-plane-0"]
        assert f"https://{floating.floating_ip_address}:6443" in (tmp_path / "kubeconfig").read_text()
        # What asks hosts beside Pulumi goes the same way.
        told = q8s(STACK, "diagnose", f"--output={tmp_path / 'logs'}")
        assert told.returncode == 0, told.stdout
    assert not [ip for ip in api.ips() if ip.description == f"Q8S cluster {NAME}"]


def test_a_floating_address_that_comes_later(cloud: Connection, own: Router, undo: ExitStack, tmp_path: Path) -> None:
    # Before, hosts are reached by their own addresses.
    router = own.external_gateway_info["external_fixed_ips"][0]["ip_address"]
    for where, via in (([], layout.ROUTER_ADDRESS), (["-n", layout.ROUTER], router)):
        subprocess.run(["ip", *where, "route", "add", CIDR, "via", via], check=True)
        undo.callback(subprocess.run, ["ip", *where, "route", "del", CIDR, "via", via], check=True)
    named = {"name": "own", "subnet": "own"}
    direct = {"mode": "direct", "user": "debian", "allowedCidrs": FLOATING["allowedCidrs"]}
    with brought_up(cloud, tmp_path, network=named, access=direct):
        stack = open_stack(STACK, described(network=named, access=FLOATING))
        stack.up()
        (floating,) = (ip for ip in cloud.network.ips() if ip.description == f"Q8S cluster {NAME}")
        kubectl = Kubectl.of(stack, tmp_path / "later")
        assert f"https://{floating.floating_ip_address}:6443" in (tmp_path / "later").read_text()
        assert kubectl.ready() == {f"{NAME}-control-plane-0": "True"}
