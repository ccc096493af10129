"""What the cloud is asked before anything is created, and every way in which it may say no."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from types import SimpleNamespace
from typing import Any

import pytest

from q8s_infra.cloud import Flavor, OpenStackCloud, Quota, Subnet
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.preflight import check, needs
from q8s_infra.spec import Network, SpecErrors, load
from tests.unit.specs import GOOD, spoiled

FLAVORS = {"c1.small": Flavor(2, 2048, 20), "c1.medium": Flavor(2, 4096, 40), "c1.large": Flavor(8, 8192, 60)}
ROOMY = {
    "instances": Quota(0, 10),
    "cores": Quota(0, 40),
    "memory (MiB)": Quota(0, 40960),
    "ports": Quota(0, 50),
    "server groups": Quota(0, 10),
    "security groups": Quota(1, 10),
    "security-group rules": Quota(4, 100),
    "volumes": Quota(0, 10),
    "volume storage (GiB)": Quota(0, 200),
}

LAN = Subnet("0000", "lan", IPv4Network("10.254.1.0/24"), 200)
WLAN = Subnet("1111", "wlan", IPv4Network("10.254.2.0/24"), 200)
PODS = Subnet("2222", "pods", IPv4Network("10.244.1.0/24"), 200)
"""One that overlaps ``kubernetes.podCidr``."""


@dataclass
class SmallCloud:
    """A cloud with fixed answers."""

    limits: dict[str, Quota] = field(default_factory=lambda: dict(ROOMY))
    lans: tuple[Subnet, ...] | None = (LAN,)
    image_names: tuple[str, ...] = ("debian-12",)
    there: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset({"az-1", "az-2"})
    server_groups: frozenset[str] = frozenset()
    volumes: frozenset[str] | None = frozenset({"disk", "ssd"})

    def flavor(self, name: str) -> Flavor | None:
        return FLAVORS.get(name)

    def has_image(self, name: str) -> bool:
        return name in self.image_names

    def subnets(self, network: Network) -> tuple[Subnet, ...] | None:
        assert network.name == "private"
        return self.lans

    def quotas(self) -> Mapping[str, Quota]:
        return {name: limit for name, limit in self.limits.items() if not name.startswith("volume")}

    def volume_quotas(self) -> Mapping[str, Quota]:
        return {name: limit for name, limit in self.limits.items() if name.startswith("volume")}

    def servers(self, names: Iterable[str]) -> frozenset[str]:
        return self.there & frozenset(names)

    def availability_zones(self) -> frozenset[str]:
        return self.zones

    def volume_types(self) -> frozenset[str] | None:
        return self.volumes

    def has_server_group(self, name: str) -> bool:
        return name in self.server_groups


def planned(path: str | None = None, value: object = None) -> ClusterPlan:
    return plan(load({"cluster": GOOD if path is None else spoiled(path, value)}, "demo"))


def refusals(cloud: SmallCloud, path: str | None = None, value: object = None) -> str:
    wanted = planned(path, value)
    with pytest.raises(SpecErrors) as refused:
        check(wanted, cloud)
    return str(refused.value)


def test_a_plan_that_fits() -> None:
    assert check(planned(), SmallCloud()) == ()


def test_more_emulated_cpus_than_the_flavor_has_is_a_warning() -> None:
    (warning,) = check(planned("nodeTypes/x86/cpus", 4), SmallCloud())
    assert warning == "nodeTypes.x86.cpus: 4 emulated CPUs share 2 of flavor c1.medium"


@pytest.mark.parametrize(("path", "value", "told"), [
    ("controlPlanes/flavor", "m1.huge", "controlPlanes.flavor: is no flavor of this cloud"),
    ("nodeTypes/arm/flavor", "m1.huge", "nodeTypes.arm.flavor: is no flavor of this cloud"),
    ("nodeTypes/x86/memory", "4GiB", "it takes 4864 of 4096 MiB"),
    ("nodeTypes/x86/disk", "41GiB", "nodeTypes.x86.disk: does not fit flavor c1.medium with 40 GiB"),
    ("hostImage/name", "windows", "hostImage.name: is no image that this project can see"),
])  # fmt: skip
def test_what_the_cloud_has_not_or_cannot_carry(path: str, value: object, told: str) -> None:
    assert told in refusals(SmallCloud(), path, value)


def test_networks_of_the_cluster_that_overlap_the_subnet_that_was_looked_up() -> None:
    described = spoiled("kubernetes/podCidr", "10.254.0.0/16")
    del described["network"]["cidr"]
    wanted = plan(load({"cluster": described}, "demo"))
    with pytest.raises(SpecErrors) as refused:
        check(wanted, SmallCloud())
    assert "kubernetes.podCidr: overlaps the network's subnet 10.254.1.0/24" in str(refused.value)


def test_a_guest_that_could_fill_its_host_is_a_warning() -> None:
    (warning,) = check(planned("nodeTypes/x86/disk", "20GiB"), SmallCloud())
    assert "nodeTypes.x86.disk" in warning
    assert "20GiB each, does not fit flavor c1.medium with 40 GiB" in warning


def test_a_control_plane_without_the_disk_for_what_guests_are_made_from_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for gib, warned in ((14, True), (15, False)):
        monkeypatch.setitem(FLAVORS, "c1.small", Flavor(2, 2048, gib))
        told = check(planned("controlPlanes/flavor", "c1.small"), SmallCloud())
        assert any("controlPlanes.flavor: c1.small has 14 GiB of disk" in warning for warning in told) == warned


def test_an_unknown_network() -> None:
    assert "is no network that this project can see" in refusals(SmallCloud(lans=None))


def test_too_few_free_addresses() -> None:
    cloud = SmallCloud(lans=(replace(LAN, free=3),))
    assert "network.name: has 3 free addresses, the cluster takes 4 more" in refusals(cloud)


def test_only_addresses_of_the_subnet_that_is_named_count() -> None:
    cloud = SmallCloud(lans=(replace(LAN, free=3), WLAN))
    assert check(planned("network", {"name": "private"}), cloud) == ()
    told = refusals(cloud, "network/subnet", "lan")
    assert told == "  network.subnet: has 3 free addresses, the cluster takes 4 more (given: 'lan')"


@pytest.mark.parametrize("named", ["lan", LAN.id])
def test_a_subnet_by_name_or_id(named: str) -> None:
    assert check(planned("network/subnet", named), SmallCloud(lans=(LAN, PODS))) == ()


@pytest.mark.parametrize(("lans", "named", "told"), [
    ((LAN, WLAN), "dmz", "is no IPv4 subnet of this network, there are lan (10.254.1.0/24), wlan (10.254.2.0/24)"),
    ((LAN, replace(WLAN, name="lan")), "lan", "is the name of several, write an id, there are lan ("),
    ((LAN, replace(WLAN, name="")), "dmz", f"is no IPv4 subnet of this network, there are {LAN}, 1111 (10.254.2.0/24)"),
])  # fmt: skip
def test_a_subnet_that_is_not_there_or_not_the_only_one(lans: tuple[Subnet, ...], named: str, told: str) -> None:
    assert f"network.subnet: {told}" in refusals(SmallCloud(lans=lans), "network/subnet", named)


@pytest.mark.parametrize("other", [PODS, WLAN], ids=str)
def test_of_several_subnets_one_has_to_be_named_where_not_all_go_with_the_cluster_s_ranges(other: Subnet) -> None:
    assert refusals(SmallCloud(lans=(LAN, other))) == (
        f"  network.subnet: is missing, and a host could get its address from any of {LAN}, {other}: name one that is "
        f"in network.cidr and apart from pods and services, {LAN}"
    )


def test_of_several_subnets_that_all_go_with_the_cluster_s_ranges_none_has_to_be_named() -> None:
    assert check(planned("network", {"name": "private"}), SmallCloud(lans=(LAN, WLAN))) == ()


def test_where_no_subnet_goes_with_the_cluster_s_ranges_it_says_why() -> None:
    told = refusals(SmallCloud(lans=(PODS, replace(PODS, id="4"))), "network", {"name": "private"})
    assert told.count("kubernetes.podCidr: overlaps the network's subnet 10.244.1.0/24") == 2
    assert "network.subnet" not in told


def test_hosts_that_are_there_have_their_addresses() -> None:
    everything = frozenset(node.name for node in planned().nodes)
    assert check(planned(), SmallCloud(lans=(LAN, WLAN), there=everything)) == ()


def test_a_subnet_outside_of_the_network_s_cidr() -> None:
    told = refusals(SmallCloud(lans=(LAN, WLAN)), "network/subnet", "wlan")
    assert "network.cidr: does not have network.subnet, wlan (10.254.2.0/24), in it" in told


def test_free_addresses_are_those_of_each_ipv4_subnet() -> None:
    def subnet(identity: str, cidr: str, version: int, end: str) -> SimpleNamespace:
        pools = [{"start": cidr.replace("0/24", "10"), "end": end}]
        return SimpleNamespace(id=identity, name=None, ip_version=version, cidr=cidr, allocation_pools=pools)

    subnets = [
        subnet("six", "fd00::/64", 6, "fd00::ff"),
        subnet("a", "10.0.0.0/24", 4, "10.0.0.19"),
        subnet("b", "10.0.1.0/24", 4, "10.0.1.29"),
    ]
    ports = [
        SimpleNamespace(fixed_ips=[{"subnet_id": identity, "ip_address": "any"} for identity in on])
        for on in (("six", "a"), ("six", "b"), ("six", "a"))
    ]
    connection: Any = SimpleNamespace(
        network=SimpleNamespace(
            find_network=lambda name: SimpleNamespace(id=f"id of {name}"),
            ports=lambda network_id: ports if network_id == "id of private" else [],
            subnets=lambda network_id: subnets if network_id == "id of private" else [],
        )
    )
    assert OpenStackCloud(connection).subnets(Network(name="private")) == (
        Subnet("a", "", IPv4Network("10.0.0.0/24"), 8),
        Subnet("b", "", IPv4Network("10.0.1.0/24"), 19),
    )


@pytest.mark.parametrize("name", sorted(ROOMY))
def test_each_quota_is_refused_by_name_with_what_is_used_and_the_limit(name: str) -> None:
    described = {**GOOD, "antiAffinity": "hard"}
    described["controlPlanes"] = {**GOOD["controlPlanes"], "bootVolume": {"size": "40GiB"}}
    with pytest.raises(SpecErrors) as refused:
        check(plan(load({"cluster": described}, "demo")), SmallCloud(limits={**ROOMY, name: Quota(7, 7)}))
    told = str(refused.value)
    assert f"quota of {name}" in told
    assert "7 of 7 are used" in told


@pytest.mark.parametrize(("wanted", "there", "needed"), [
    ("none", frozenset[str](), None),
    ("soft", frozenset[str](), 1),
    ("soft", frozenset({"demo-soft-anti-affinity"}), None),
    ("hard", frozenset({"demo-soft-anti-affinity"}), 1),
])  # fmt: skip
def test_a_server_group_counts_where_one_is_wanted_and_not_there(
    wanted: str, there: frozenset[str], needed: int | None
) -> None:
    found = needs(planned("antiAffinity", wanted), SmallCloud(server_groups=there))
    assert {need.name: need.needed for need in found}.get("server groups") == needed


@pytest.mark.parametrize("path", ["controlPlanes", "nodeTypes/x86"])
def test_an_availability_zone_has_to_be_there(path: str) -> None:
    assert check(planned(f"{path}/availabilityZone", "az-2"), SmallCloud()) == ()
    told = "is no availability zone that instances can be in, there are"
    field = f"{path.replace('/', '.')}.availabilityZone"
    assert refusals(SmallCloud(), f"{path}/availabilityZone", "az-3") == f"  {field}: {told} az-1, az-2 (given: 'az-3')"
    assert f"{told} none" in refusals(SmallCloud(zones=frozenset()), f"{path}/availabilityZone", "az-3")


def test_zones_and_server_groups_of_a_cloud() -> None:
    zones = [SimpleNamespace(name=name, state={"available": name != "az-3"}) for name in ("az-1", "az-2", "az-3")]
    connection: Any = SimpleNamespace(
        compute=SimpleNamespace(
            availability_zones=lambda: zones, server_groups=lambda: [SimpleNamespace(name="demo-anti-affinity")]
        )
    )
    cloud = OpenStackCloud(connection)
    assert cloud.availability_zones() == {"az-1", "az-2"}
    assert [cloud.has_server_group(name) for name in ("demo-anti-affinity", "demo")] == [True, False]


@pytest.mark.parametrize("path", ["controlPlanes", "nodeTypes/x86"])
class TestFlavorsWithoutADisk:
    @pytest.fixture(autouse=True)
    def no_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(FLAVORS, "c0.medium", Flavor(2, 4096, 0))

    @pytest.fixture
    def described(self, path: str) -> Callable[[dict[str, str] | None], ClusterPlan]:
        """A cluster with such a flavor, and with a boot volume."""

        def describe(volume: dict[str, str] | None = None) -> ClusterPlan:
            description = spoiled(f"{path}/flavor", "c0.medium")
            part = description["controlPlanes"] if path == "controlPlanes" else description["nodeTypes"]["x86"]
            part.update({"bootVolume": volume} if volume else {})
            return plan(load({"cluster": description}, "demo"))

        return describe

    def test_they_need_a_volume(self, path: str, described: Callable[..., ClusterPlan]) -> None:
        field = f"  {path.replace('/', '.')}.bootVolume: is missing, flavor c0.medium has no disk of its own"
        for volumes, told in (
            (frozenset({"ssd"}), ": write the size of a volume"),
            (None, ", and this cloud no volumes"),
        ):
            with pytest.raises(SpecErrors) as refused:
                check(described(), SmallCloud(volumes=volumes))
            assert str(refused.value) == field + told

    def test_with_one_it_fits(self, described: Callable[..., ClusterPlan]) -> None:
        assert check(described({"size": "40GiB", "type": "ssd"}), SmallCloud()) == ()
        assert check(described({"size": "40GiB"}), SmallCloud()) == ()

    def test_there_have_to_be_volumes_of_its_type(self, path: str, described: Callable[..., ClusterPlan]) -> None:
        field = f"  {path.replace('/', '.')}.bootVolume"
        with pytest.raises(SpecErrors) as refused:
            check(described({"size": "40GiB", "type": "tape"}), SmallCloud())
        assert str(refused.value) == (
            f"{field}.type: is no volume type of this cloud, there are disk, ssd (given: 'tape')"
        )
        with pytest.raises(SpecErrors) as refused:
            check(described({"size": "40GiB"}), SmallCloud(volumes=None))
        assert str(refused.value) == f"{field}: is not to be had: this cloud has no volumes (given: '40GiB')"

    def test_hosts_that_are_there_need_none(self, described: Callable[..., ClusterPlan]) -> None:
        there = frozenset(node.name for node in described().nodes)
        assert check(described(), SmallCloud(there=there)) == ()


def test_what_has_to_fit_on_a_boot_volume() -> None:
    volume = {"size": "9GiB"}
    (warning,) = check(planned("controlPlanes/bootVolume", volume), SmallCloud())
    assert "controlPlanes.bootVolume: its volume has 9 GiB of disk" in warning
    told = refusals(SmallCloud(), "nodeTypes/x86/bootVolume", volume)
    assert "nodeTypes.x86.disk: does not fit its boot volume with 9 GiB" in told
    (warning,) = check(planned("nodeTypes/x86/bootVolume", {"size": "21GiB"}), SmallCloud())
    assert "does not fit its boot volume with 21 GiB" in warning


def test_the_volumes_that_new_hosts_take() -> None:
    wanted = planned("nodeTypes/x86/bootVolume", {"size": "40GiB"})
    count = sum(worker.type_name == "x86" for worker in wanted.workers)
    found = {need.name: need.needed for need in needs(wanted, SmallCloud())}
    assert (found["volumes"], found["volume storage (GiB)"]) == (count, 40 * count)
    assert "volumes" not in {need.name for need in needs(planned(), SmallCloud())}


def test_an_image_that_is_gone_is_no_matter_to_hosts_that_are_there() -> None:
    there = frozenset(node.name for node in planned().nodes)
    assert check(planned(), SmallCloud(image_names=(), there=there)) == ()
    assert "hostImage.name" in refusals(SmallCloud(image_names=(), there=there), "workers", {"x86": 9, "arm": 1})


@pytest.mark.parametrize(("given", "there"), [("debian-12", True), ("windows", False), ("0" * 32, True)])
def test_images_of_a_cloud_by_name_and_by_id(given: str, there: bool) -> None:
    twice = [SimpleNamespace(name="debian-12"), SimpleNamespace(name="debian-12")]
    images = SimpleNamespace(
        images=lambda name, status: iter(twice if (name, status) == ("debian-12", "active") else []),
        find_image=lambda identity: object() if identity == "0" * 32 else None,
    )
    connection: Any = SimpleNamespace(image=images)
    assert OpenStackCloud(connection).has_image(given) == there


def test_volumes_of_a_cloud() -> None:
    limits = SimpleNamespace(
        total_volumes_used=1, max_total_volumes=10, total_gigabytes_used=40, max_total_volume_gigabytes=-1
    )
    storage = SimpleNamespace(
        types=lambda: [SimpleNamespace(name="ssd")], get_limits=lambda: SimpleNamespace(absolute=limits)
    )
    quotas = {"volumes": Quota(1, 10), "volume storage (GiB)": Quota(40, -1)}
    for has, types, known in ((True, frozenset({"ssd"}), quotas), (False, None, {})):
        connection: Any = SimpleNamespace(
            has_service=lambda name, has=has: has and name == "block-storage", block_storage=storage
        )
        assert OpenStackCloud(connection).volume_types() == types
        assert OpenStackCloud(connection).volume_quotas() == known


def test_no_limit_is_no_mistake() -> None:
    assert check(planned(), SmallCloud(limits={name: Quota(1000, -1) for name in ROOMY})) == ()


def test_all_mistakes_at_once() -> None:
    told = refusals(SmallCloud(image_names=(), lans=None), "nodeTypes/arm/flavor", "m1.huge")
    for path in ("hostImage.name", "network.name", "nodeTypes.arm.flavor"):
        assert path in told


def test_hosts_that_are_there_need_nothing_more() -> None:
    everything = frozenset(node.name for node in planned().nodes)
    full = SmallCloud(limits={name: Quota(7, 7) for name in ROOMY}, there=everything)
    assert check(planned(), full) == ()
    assert {need.name: need.needed for need in needs(planned(), full)} == dict.fromkeys(
        ("instances", "cores", "memory (MiB)", "ports"), 0
    )


def test_one_more_worker_than_the_quota_has_room_for() -> None:
    cloud = SmallCloud(
        limits={**ROOMY, "instances": Quota(4, 4)}, there=frozenset(node.name for node in planned().nodes)
    )
    told = refusals(cloud, "workers", {"x86": 2, "arm": 2})
    assert "quota of instances: is exceeded: 4 of 4 are used" in told
