"""OpenStack as its regular user sees it: what is offered, what is refused, and a way in from outside.

Run inside the lab's namespace: ``python -m lab enter .venv/bin/pytest tests/lab/test_openstack.py``.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from openstack.connection import Connection
from openstack.exceptions import ForbiddenException, NotFoundException

from lab import layout
from lab.services import accepts, wait_until

NAME = f"openstack-test-{os.getpid()}"
OWN_CIDR, OWN_GATEWAY = "192.168.77.0/24", "192.168.77.1"
# Policy enforcement hides some of what it refuses.
REFUSED = (ForbiddenException, NotFoundException)

pytestmark = pytest.mark.timeout(300)


def test_only_root_reads_the_credential() -> None:
    assert stat.S_IMODE(layout.CLOUDS_YAML.stat().st_mode) == 0o600
    assert stat.S_IMODE(layout.SECRETS.stat().st_mode) == 0o600


def test_the_credential_holds_no_password(cloud: Connection) -> None:
    del cloud
    clouds = yaml.safe_load(layout.CLOUDS_YAML.read_text())["clouds"]
    assert list(clouds) == [layout.CLOUD]
    assert clouds[layout.CLOUD]["auth_type"] == "v3applicationcredential"
    assert set(clouds[layout.CLOUD]["auth"]) == {
        "auth_url", "application_credential_id", "application_credential_secret",
    }  # fmt: skip


def test_the_user_is_a_plain_member_of_one_project(cloud: Connection) -> None:
    access = cloud.session.auth.get_access(cloud.session)
    assert set(access.role_names) <= {"member", "reader"}
    assert "member" in access.role_names
    assert access.project_name == layout.PROJECT


ADMINISTRATION: dict[str, Callable[[Connection], Any]] = {
    "list users": lambda cloud: list(cloud.identity.users()),
    "list all projects": lambda cloud: list(cloud.identity.projects()),
    "list services": lambda cloud: list(cloud.identity.services()),
    "make a user": lambda cloud: cloud.identity.create_user(name=NAME, password=NAME),
    "make a project": lambda cloud: cloud.identity.create_project(name=NAME),
    "list role assignments": lambda cloud: list(cloud.identity.role_assignments()),
    "make another credential": lambda cloud: cloud.identity.create_application_credential(
        cloud.current_user_id, name=NAME
    ),
    "list hypervisors": lambda cloud: list(cloud.compute.hypervisors()),
    "list compute services": lambda cloud: list(cloud.compute.services()),
    "list everybody's servers": lambda cloud: list(cloud.compute.servers(all_projects=True)),
    "make a flavor": lambda cloud: cloud.compute.create_flavor(name=NAME, vcpus=1, ram=64, disk=1),
    "raise the compute quota": lambda cloud: cloud.compute.update_quota_set(cloud.current_project_id, instances=1000),
    "raise the network quota": lambda cloud: cloud.network.update_quota(cloud.current_project_id, ports=1000),
    "list network agents": lambda cloud: _some(cloud.network.agents()),
    "make a provider network": lambda cloud: cloud.network.create_network(
        name=NAME, provider_network_type="flat", provider_physical_network=layout.PHYSICAL_NETWORK
    ),
    "share a network": lambda cloud: cloud.network.create_network(name=NAME, is_shared=True),
    "make an external network": lambda cloud: cloud.network.create_network(name=NAME, is_router_external=True),
    "change the private network": lambda cloud: cloud.network.update_network(
        cloud.network.find_network(layout.PRIVATE_NETWORK).id, name=NAME
    ),
    "publish an image": lambda cloud: cloud.create_image(
        NAME, data=b"x", disk_format="raw", container_format="bare", visibility="public"
    ),
    "delete the host image": lambda cloud: cloud.image.delete_image(
        cloud.image.find_image(layout.HOST_IMAGE), ignore_missing=False
    ),
}


def _some(found: Iterator[Any]) -> list[Any]:
    """Neutron shows nothing where others refuse; so the same is asked of it."""
    listed = list(found)
    if not listed:
        raise ForbiddenException("nothing is shown")
    return listed


@pytest.mark.parametrize("what", ADMINISTRATION)
def test_the_user_may_not(cloud: Connection, what: str) -> None:
    with pytest.raises(REFUSED):
        ADMINISTRATION[what](cloud)


def test_flavors_are_those_of_the_published_cluster(cloud: Connection) -> None:
    flavors = {flavor.name: (flavor.vcpus, flavor.ram, flavor.disk) for flavor in cloud.compute.flavors()}
    published = {"c1.small": (2, 2048, 20), "c1.medium": (2, 4096, 40), "c1.large": (8, 8192, 60)}
    # And one of a cloud whose hosts boot from volumes.
    assert flavors == {**published, "c1.medium.diskless": (2, 4096, 0)}


def test_the_quota_carries_a_large_cluster(cloud: Connection) -> None:
    limits = cloud.compute.get("/limits").json()["limits"]["absolute"]
    known = (limits["maxTotalInstances"], limits["maxTotalCores"], limits["maxTotalRAMSize"])
    assert known == (100, 400, 400 * 1024)
    assert cloud.network.get_quota(cloud.current_project_id).ports == 500


def test_the_host_image_is_everybodys(cloud: Connection) -> None:
    image = cloud.image.find_image(layout.HOST_IMAGE, ignore_missing=False)
    assert (image.status, image.visibility) == ("active", "public")


def test_the_private_network_has_one_subnet_without_dhcp(cloud: Connection) -> None:
    network = cloud.network.find_network(layout.PRIVATE_NETWORK, ignore_missing=False)
    assert network.is_shared
    assert network.is_port_security_enabled
    (subnet,) = (cloud.network.get_subnet(each) for each in network.subnet_ids)
    assert (subnet.name, subnet.cidr, subnet.is_dhcp_enabled) == (layout.PRIVATE_NETWORK, layout.PRIVATE_CIDR, False)


def test_the_external_network_is_no_place_for_hosts(cloud: Connection) -> None:
    network = cloud.network.find_network(layout.EXTERNAL_NETWORK, ignore_missing=False)
    assert network.is_router_external
    assert not network.is_shared


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private SSH key; its public half is beside it."""
    path = tmp_path_factory.mktemp("openstack") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path


@pytest.fixture(scope="module")
def reached(cloud: Connection, key: Path) -> Iterator[tuple[str, Any]]:
    """A server on a network of the user's own: the floating address that leads to it, and the server."""
    external = cloud.network.find_network(layout.EXTERNAL_NETWORK, ignore_missing=False)
    api, compute = cloud.network, cloud.compute
    with ExitStack() as undo:
        compute.create_keypair(name=NAME, public_key=key.with_suffix(".pub").read_text())
        undo.callback(compute.delete_keypair, NAME)
        group = api.create_security_group(name=NAME)
        undo.callback(api.delete_security_group, group)
        api.create_security_group_rule(
            security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22
        )
        network = api.create_network(name=NAME)
        undo.callback(api.delete_network, network)
        subnet = api.create_subnet(
            name=NAME, network_id=network.id, ip_version=4, cidr=OWN_CIDR, gateway_ip=OWN_GATEWAY, is_dhcp_enabled=False
        )
        router = api.create_router(name=NAME, external_gateway_info={"network_id": external.id})
        undo.callback(api.delete_router, router)
        api.add_interface_to_router(router, subnet=subnet.id)
        undo.callback(api.remove_interface_from_router, router, subnet=subnet.id)
        port = api.create_port(name=NAME, network_id=network.id, security_group_ids=[group.id])
        undo.callback(api.delete_port, port)
        server = cloud.create_server(
            NAME, image=layout.HOST_IMAGE, flavor="c1.small", key_name=NAME, nics=[{"port-id": port.id}], auto_ip=False
        )
        undo.callback(cloud.delete_server, server.id, wait=True, timeout=60)
        compute.wait_for_server(server, wait=120)
        floating = api.create_ip(floating_network_id=external.id, port_id=port.id)
        undo.callback(api.delete_ip, floating)
        yield floating.floating_ip_address, server


@pytest.mark.full
def test_a_floating_address_leads_to_a_host_on_a_network_of_ones_own(reached: tuple[str, Any], key: Path) -> None:
    address, _ = reached
    assert ip_address(address) in ip_network(layout.EXTERNAL_CIDR)
    wait_until("SSH by the floating address", lambda: accepts(address, 22), seconds=60)
    ssh = (
        "ssh", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "ConnectTimeout=10", f"debian@{address}",
    )  # fmt: skip
    says = subprocess.run([*ssh, "hostname; hostname -I"], capture_output=True, text=True, check=True).stdout.split()
    assert says[0] == NAME
    assert ip_address(says[1]) in ip_network(OWN_CIDR)
    # Out again, by the router's own address: the mirror answers.
    mirror = f"curl -fsS -o /dev/null -m 10 http://{layout.MIRROR_ADDRESS}/keys/q8s-lab.asc && echo served"
    assert subprocess.run([*ssh, mirror], capture_output=True, text=True, check=True).stdout.strip() == "served"


@pytest.mark.full
def test_a_port_that_no_rule_allows_is_closed_at_the_floating_address(reached: tuple[str, Any]) -> None:
    address, _ = reached
    wait_until("SSH by the floating address", lambda: accepts(address, 22), seconds=60)
    # Nothing else passes: nobody listens there either, but the host does not even get to refuse.
    with pytest.raises(TimeoutError):
        socket.create_connection((address, 111), timeout=2)
    ping = ["ping", "-c1", "-W2", address]
    assert subprocess.run(ping, capture_output=True, check=False).returncode != 0
