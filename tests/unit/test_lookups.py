"""What OpenStack's services answer, as openstacksdk reads it: by a server that answers as they do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Network
from typing import Any
from urllib.parse import parse_qs, urlsplit

import openstack
import pytest
from openstack.exceptions import HttpException

from q8s_infra.cloud import Flavor, OpenStackCloud, Quota
from q8s_infra.lookups import Image, SecurityGroup, SeenNetwork, SeenRule, Subnet

ONE, TWO = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"

SERVICES = {
    "compute": ("compute/v2.1", "2.90"),
    "network": ("network/v2.0", ""),
    "image": ("image/v2", ""),
    "block_storage": ("volume/v3", "3.70"),
}
"""Where each service is, and its newest microversion."""


class Site:
    """A cloud's services on one port.

    Attributes:
        answers: bodies by path; a number is a status without a body, and what is not there is 404.
        asked: paths and queries that were asked.
    """

    def __init__(self, url: str) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.url = url

    @property
    def cloud(self) -> OpenStackCloud:
        overrides = {f"{name}_endpoint_override": f"{self.url}/{path}" for name, (path, _) in SERVICES.items()}
        config = openstack.config.OpenStackConfig(load_yaml_config=False, load_envvars=False)
        return OpenStackCloud(openstack.connection.Connection(config=config.get_one(auth_type="none", **overrides)))

    @property
    def mine(self) -> OpenStackCloud:
        """The cloud for the project ``mine``."""

        class OfMine(openstack.connection.Connection):
            current_project_id = "mine"

        cloud = self.cloud
        cloud.connection.__class__ = OfMine
        return cloud

    def version(self, path: str) -> Any:
        """The document by which a client finds a service's version."""
        number, newest = next((path.rpartition("/")[2], newest) for at, newest in SERVICES.values() if f"/{at}" == path)
        links = [{"rel": "self", "href": f"{self.url}{path}/"}]
        return {"version": {"id": number, "status": "CURRENT", "min_version": "", "version": newest, "links": links}}

    def answer(self, target: str) -> tuple[int, Any]:
        self.asked.append(target)
        parts = urlsplit(target)
        if parts.path.rstrip("/") in {f"/{path}" for path, _ in SERVICES.values()}:
            return 200, self.version(parts.path.rstrip("/"))
        found = self.answers.get(parts.path, 404)
        if isinstance(found, int):
            return found, {"error": {"message": "no"}}
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return 200, {
            key: [it for it in value if _asked_for(it, query)] if isinstance(value, list) else value
            for key, value in found.items()
        }


def _asked_for(resource: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    if "marker" in query:
        # There is no further page.
        return False
    names = ("name", "id", "status", "network_id", "description")
    return all(resource.get(name) == query[name] for name in names if name in query and name in resource)


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = known.answer(self.path)
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        known = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield known
        server.shutdown()
        thread.join()


def test_a_flavor_by_its_name_and_not_by_its_id(site: Site) -> None:
    flavor = {"id": "7", "name": "c1.swap", "vcpus": 2, "ram": 4096, "disk": 40, "swap": 512}
    site.answers = {
        "/compute/v2.1/flavors/7": {"flavor": flavor},
        "/compute/v2.1/flavors/detail": {"flavors": [flavor]},
    }
    site.answers["/compute/v2.1/flavors"] = {"flavors": [flavor]}
    assert site.cloud.flavor("c1.swap") == Flavor(2, 4096, 40, 512)
    assert site.cloud.flavor("7") is None
    assert site.cloud.flavor("c1.gone") is None
    # Nova before 2.75 writes no swap as empty text.
    flavor["swap"] = ""
    assert site.cloud.flavor("c1.swap") == Flavor(2, 4096, 40)


def test_images_by_name_are_the_newest_active_one(site: Site) -> None:
    images = [
        {"id": "1", "name": "debian", "status": "active", "created_at": "2026-01-01T00:00:00Z", "min_ram": 512},
        {"id": "2", "name": "debian", "status": "active", "created_at": "2026-03-01T00:00:00Z", "min_ram": 1024},
        {"id": "3", "name": "debian", "status": "queued", "created_at": "2026-05-01T00:00:00Z", "min_ram": 2048},
        {"id": "4", "name": "raw", "status": "active", "created_at": "2026-05-01T00:00:00Z"},
    ]
    images[3] |= {"min_disk": 2, "virtual_size": 3 * 2**30 + 1}
    site.answers = {"/image/v2/images": {"images": images}}
    assert site.cloud.image("debian") == Image("active", 1024, 0)
    assert site.cloud.image("raw") == Image("active", 0, 4)
    assert site.cloud.image("windows") is None


@pytest.mark.parametrize("status", ["active", "deactivated"])
def test_an_image_by_id_has_its_status(site: Site, status: str) -> None:
    image = {"id": ONE, "name": "debian", "status": status, "min_ram": 0, "min_disk": 2, "virtual_size": None}
    site.answers = {f"/image/v2/images/{ONE}": image, "/image/v2/images": {"images": []}}
    assert site.cloud.image(ONE) == Image(status, 0, 2)
    assert site.cloud.image(TWO) is None


def test_networks_by_name_and_id(site: Site) -> None:
    networks = [
        {"id": ONE, "name": "lan", "router:external": False, "port_security_enabled": False},
        {"id": TWO, "name": "wan", "router:external": True, "port_security_enabled": True},
    ]
    site.answers = {
        "/network/v2.0/extensions": {"extensions": [{"alias": "port-security"}]},
        "/network/v2.0/networks": {"networks": networks},
        f"/network/v2.0/networks/{ONE}": {"network": networks[0]},
    }
    lan, wan = SeenNetwork(ONE, "lan", port_security=False), SeenNetwork(TWO, "wan", external=True)
    assert site.cloud.seen_networks("lan") == site.cloud.seen_networks(ONE) == (lan,)
    assert site.cloud.seen_networks("wan") == (wan,)
    assert site.cloud.seen_networks("dmz") == site.cloud.seen_networks("3" * 32) == ()


def test_port_security_is_on_where_there_is_no_switch_for_it(site: Site) -> None:
    site.answers = {
        "/network/v2.0/networks": {"networks": [{"id": ONE, "name": "lan"}]},
        "/network/v2.0/extensions": {"extensions": [{"alias": "router"}]},
    }
    assert site.cloud.seen_networks("lan") == (SeenNetwork(ONE, "lan"),)


def test_free_addresses_are_those_of_each_ipv4_subnet(site: Site) -> None:
    def subnet(identity: str, cidr: str, version: int, start: str, end: str, **more: Any) -> dict[str, Any]:
        pools = [{"start": start, "end": end}]
        own = {"id": identity, "name": identity, "ip_version": version, "cidr": cidr, "allocation_pools": pools}
        return {"network_id": ONE, "gateway_ip": None, "enable_dhcp": False, **own, **more}

    site.answers["/network/v2.0/subnets"] = {
        "subnets": [
            subnet("six", "fd00::/64", 6, "fd00::10", "fd00::ff"),
            subnet("a", "10.0.0.0/24", 4, "10.0.0.10", "10.0.0.19", gateway_ip="10.0.0.1"),
            subnet("b", "10.0.1.0/24", 4, "10.0.1.10", "10.0.1.29", enable_dhcp=True),
        ]
    }
    on = (("six", "a"), ("six", "b"), ("six", "a"))
    addresses = [[{"subnet_id": it, "ip_address": "any"} for it in each] for each in on]
    ports = [{"id": str(number), "network_id": ONE, "fixed_ips": ips} for number, ips in enumerate(addresses)]
    site.answers["/network/v2.0/ports"] = {"ports": ports}
    assert site.cloud.subnets(ONE) == (
        Subnet("a", "a", IPv4Network("10.0.0.0/24"), 8, gateway=True, dhcp=False),
        Subnet("b", "b", IPv4Network("10.0.1.0/24"), 19, gateway=False, dhcp=True),
    )
    assert site.cloud.subnets(TWO) == ()


def test_security_groups_with_their_rules(site: Site) -> None:
    fields = (
        "direction",
        "ethertype",
        "protocol",
        "port_range_min",
        "port_range_max",
        "remote_ip_prefix",
        "remote_group_id",
    )
    rules = [
        dict(zip(fields, values, strict=True))
        for values in (
            ("egress", "IPv4", None, None, None, None, None),
            ("ingress", "IPv4", "tcp", 22, 22, "10.0.0.0/8", None),
            ("ingress", "IPv4", "udp", 53, 53, None, TWO),
        )
    ]
    group = {"id": ONE, "name": "web", "description": "Q8S cluster web", "security_group_rules": rules}
    site.answers["/network/v2.0/security-groups"] = {"security_groups": [group]}
    found = SecurityGroup(
        ONE,
        "Q8S cluster web",
        (
            SeenRule("egress", "IPv4"),
            SeenRule("ingress", "IPv4", "tcp", 22, 22, "10.0.0.0/8"),
            SeenRule("ingress", "IPv4", "udp", 53, 53, source=TWO),
        ),
    )
    assert site.cloud.security_groups("web") == site.cloud.security_groups(ONE) == (found,)
    assert site.cloud.security_groups("db") == ()


def test_default_rules_are_those_of_groups_that_are_created(site: Site) -> None:
    rules = [
        {"id": str(number), "direction": direction, "ethertype": "IPv4", "used_in_non_default_sg": used}
        for number, (direction, used) in enumerate((("ingress", False), ("egress", True)))
    ]
    site.answers["/network/v2.0/default-security-group-rules"] = {"default_security_group_rules": rules}
    assert site.cloud.default_rules() == (SeenRule("egress", "IPv4"),)


@pytest.mark.parametrize("status", [403, 404])
def test_what_a_member_may_not_ask_is_unknown(site: Site, status: int) -> None:
    for path in ("default-security-group-rules", "security-groups", "extensions", "quotas"):
        site.answers[f"/network/v2.0/{path}"] = status
    for path in ("/compute/v2.1/os-keypairs", "/compute/v2.1/os-server-groups", "/network/v2.0/floatingips"):
        site.answers[path] = status
    for path in ("/volume/v3/os-availability-zone", "/volume/v3/limits", "/compute/v2.1/limits"):
        site.answers[path] = status
    cloud = site.cloud
    assert cloud.default_rules() is cloud.security_groups("web") is cloud.network_extensions() is None
    assert cloud.volume_zones() is cloud.floating_ip_network("Q8S cluster demo") is None
    assert not cloud.has_keypair("demo")
    assert not cloud.has_server_group("demo-anti-affinity")
    assert (cloud.quotas(), cloud.volume_quotas()) == ({}, {})


def test_a_service_that_is_away_is_no_answer(site: Site) -> None:
    site.answers["/network/v2.0/security-groups"] = 500
    with pytest.raises(HttpException):
        site.cloud.security_groups("web")


def test_extensions_keypairs_and_floating_ips(site: Site) -> None:
    site.answers = {
        "/network/v2.0/extensions": {"extensions": [{"alias": "router"}, {"alias": "standard-attr-tag"}]},
        "/compute/v2.1/os-keypairs/demo": {"keypair": {"name": "demo", "public_key": "ssh-ed25519 AAAA"}},
        "/compute/v2.1/os-keypairs": {"keypairs": []},
        "/network/v2.0/floatingips": {
            "floatingips": [{"id": "1", "floating_network_id": TWO, "description": "Q8S cluster demo"}]
        },
    }
    cloud = site.cloud
    assert cloud.network_extensions() == {"router", "standard-attr-tag"}
    assert [cloud.has_keypair(name) for name in ("demo", "other")] == [True, False]
    assert cloud.floating_ip_network("Q8S cluster demo") == TWO
    assert cloud.floating_ip_network("Q8S cluster other") is None


def test_zones_and_server_groups(site: Site) -> None:
    zones = [{"zoneName": name, "zoneState": {"available": name != "az-3"}} for name in ("az-1", "az-2", "az-3")]
    site.answers = {
        "/compute/v2.1/os-availability-zone": {"availabilityZoneInfo": zones},
        "/volume/v3/os-availability-zone": {"availabilityZoneInfo": zones[1:]},
        "/compute/v2.1/os-server-groups": {"server_groups": [{"id": ONE, "name": "demo-anti-affinity"}]},
    }
    cloud = site.cloud
    assert cloud.availability_zones() == {"az-1", "az-2"}
    assert cloud.volume_zones() == {"az-2"}
    assert [cloud.has_server_group(name) for name in ("demo-anti-affinity", "demo")] == [True, False]


def test_volumes(site: Site) -> None:
    limits = {"totalVolumesUsed": 1, "maxTotalVolumes": 10, "totalGigabytesUsed": 40, "maxTotalVolumeGigabytes": -1}
    volumes = [{"id": ONE, "delete_on_termination": True}]
    servers = [
        {"id": "1", "name": "demo-x86-0", "os-extended-volumes:volumes_attached": volumes},
        {"id": "2", "name": "demo-x86-1", "os-extended-volumes:volumes_attached": []},
    ]
    site.answers = {
        "/volume/v3/limits": {"limits": {"absolute": limits, "rate": []}},
        "/volume/v3/types": {"volume_types": [{"id": TWO, "name": "ssd"}]},
        f"/volume/v3/types/{TWO}": {"volume_type": {"id": TWO, "name": "ssd"}},
        f"/volume/v3/volumes/{ONE}": {"volume": {"id": ONE, "size": 40}},
        "/compute/v2.1/servers/detail": {"servers": servers},
    }
    cloud = site.cloud
    assert cloud.volume_quotas() == {"volumes": Quota(1, 10), "volume storage (GiB)": Quota(40, -1)}
    assert cloud.volume_types() == {"ssd"}
    assert [cloud.has_volume_type(identity) for identity in (TWO, ONE)] == [True, False]
    assert cloud.boot_volumes(["demo-x86-0", "demo-x86-1", "demo-arm-0"]) == {"demo-x86-0": 40}


COMPUTE = {
    "maxTotalInstances": 10,
    "totalInstancesUsed": 1,
    "maxTotalCores": -1,
    "totalCoresUsed": 2,
    "maxTotalKeypairs": 100,
    "maxServerGroupMembers": 10,
}
"""Nova's limits, without what a driver for unified limits leaves out."""


class TestQuotas:
    @pytest.fixture
    def known(self, site: Site) -> Site:
        """Nova, without what a driver for unified limits leaves out."""
        site.answers = {
            "/compute/v2.1/limits": {"limits": {"absolute": COMPUTE, "rate": []}},
            "/compute/v2.1/os-keypairs": {"keypairs": [{"keypair": {"name": name}} for name in ("a", "b")]},
        }
        return site

    def test_what_nova_does_not_say_is_no_limit(self, known: Site) -> None:
        assert known.cloud.quotas() == {
            "instances": Quota(1, 10),
            "cores": Quota(2, -1),
            "memory (MiB)": Quota(0, -1),
            "server groups": Quota(0, -1),
            "server group members": Quota(0, 10),
            "key pairs": Quota(2, 100),
        }

    def test_neutrons_details(self, known: Site) -> None:
        quota = {"port": {"used": 3, "reserved": 1, "limit": 50}, "security_group": {"limit": 10}}
        known.answers["/network/v2.0/quotas/mine/details"] = {"quota": quota}
        found = known.mine.quotas()
        assert (found["ports"], found["security groups"]) == (Quota(4, 50), Quota(0, 10))
        assert found["floating IPs"] == Quota(0, -1)

    def test_without_details_resources_are_counted(self, known: Site) -> None:
        quota = {"port": 50, "security_group": 10, "security_group_rule": -1, "floatingip": 0}
        known.answers |= {
            "/network/v2.0/quotas/mine": {"quota": quota},
            "/network/v2.0/ports": {"ports": [{"id": ONE}, {"id": TWO}]},
            "/network/v2.0/security-groups": {"security_groups": [{"id": ONE}]},
            "/network/v2.0/security-group-rules": {"security_group_rules": []},
            "/network/v2.0/floatingips": {"floatingips": []},
        }
        found = known.mine.quotas()
        names = ("ports", "security groups", "security-group rules", "floating IPs")
        assert [found[name] for name in names] == [Quota(2, 50), Quota(1, 10), Quota(0, -1), Quota(0, 0)]
