"""What the cloud is asked before anything is created, and every way in which it may say no."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from q8s_infra.cloud import Flavor, Quota
from q8s_infra.lookups import Image, SecurityGroup, SeenNetwork, SeenRule, Subnet
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.preflight import check, needs
from q8s_infra.render.rules import rules
from q8s_infra.spec import SpecErrors, load
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
    "server group members": Quota(0, 10),
    "key pairs": Quota(0, 100),
    "volumes": Quota(0, 10),
    "volume storage (GiB)": Quota(0, 200),
}

LAN = Subnet("0" * 32, "lan", IPv4Network("10.254.1.0/24"), 200)
WLAN = Subnet("1" * 32, "wlan", IPv4Network("10.254.2.0/24"), 200)
PODS = Subnet("2" * 32, "pods", IPv4Network("10.244.1.0/24"), 200)
"""One that overlaps ``kubernetes.podCidr``."""
LINK = Subnet("3" * 32, "link", IPv4Network("192.168.123.0/24"), 200)
"""One that overlaps the link between a host and its guest."""
PRIVATE = SeenNetwork("a" * 32, "private")
PUBLIC = SeenNetwork("b" * 32, "public", external=True)
EGRESS = SeenRule("egress", "IPv4")
DEFAULT = SecurityGroup("c" * 32, "", (EGRESS, SeenRule("egress", "IPv6")))
ACTIVE = Image("active")
OWN = SecurityGroup("d" * 32, "Q8S cluster demo", (EGRESS,))
"""The cluster's own group, before its rules are made."""
OF_CONTROL_PLANES = SecurityGroup("e" * 32, "Q8S cluster demo", (EGRESS,))


def with_rules(planned: ClusterPlan) -> dict[str, tuple[SecurityGroup, ...]]:
    """The cluster's own groups with the rules of a description."""
    found = {"nodes": OWN, "control-planes": OF_CONTROL_PLANES}
    for rule in rules(planned.spec):
        group, source = found[rule.group], found[rule.source].id if rule.source else None
        seen = SeenRule("ingress", "IPv4", rule.protocol, rule.low, rule.high, rule.cidr, source)
        found[rule.group] = replace(group, rules=(*group.rules, seen))
    return {"demo": (found["nodes"],), "demo-control-planes": (found["control-planes"],)}


@dataclass
class SmallCloud:
    """A cloud with fixed answers."""

    limits: dict[str, Quota] = field(default_factory=lambda: dict(ROOMY))
    lans: tuple[Subnet, ...] = (LAN,)
    seen: tuple[SeenNetwork, ...] = (PRIVATE, PUBLIC)
    has_image: Image | None = ACTIVE
    there: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset({"az-1", "az-2"})
    server_groups: frozenset[str] = frozenset()
    volumes: frozenset[str] | None = frozenset({"disk", "ssd"})
    zones_of_volumes: frozenset[str] | None = None
    groups: Mapping[str, tuple[SecurityGroup, ...]] | None = field(default_factory=lambda: {"default": (DEFAULT,)})
    egress: tuple[SeenRule, ...] | None = None
    extensions: frozenset[str] | None = frozenset({"standard-attr-tag"})
    floating: str | None = None
    keypairs: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)

    def flavor(self, name: str) -> Flavor | None:
        return FLAVORS.get(name)

    def image(self, given: str) -> Image | None:
        return self.has_image if given == "debian-12" else None

    def seen_networks(self, given: str) -> tuple[SeenNetwork, ...]:
        return tuple(network for network in self.seen if given in (network.id, network.name))

    def subnets(self, network_id: str) -> tuple[Subnet, ...]:
        assert network_id == PRIVATE.id
        return self.lans

    def security_groups(self, given: str) -> tuple[SecurityGroup, ...] | None:
        return None if self.groups is None else self.groups.get(given, ())

    def default_rules(self) -> tuple[SeenRule, ...] | None:
        return self.egress

    def network_extensions(self) -> frozenset[str] | None:
        return self.extensions

    def floating_ip_network(self, description: str) -> str | None:
        assert description == "Q8S cluster demo"
        return self.floating

    def has_keypair(self, name: str) -> bool:
        return name in self.keypairs

    def volume_zones(self) -> frozenset[str] | None:
        return self.zones_of_volumes

    def has_volume_type(self, identity: str) -> bool:
        return identity == "e" * 32

    def boot_volumes(self, names: Iterable[str]) -> Mapping[str, int]:
        return {name: self.sizes[name] for name in names if name in self.sizes}

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


def refusals(cloud: SmallCloud, path: str | None = None, value: object = None, **replaced: str) -> str:
    wanted = planned(path, value)
    with pytest.raises(SpecErrors) as refused:
        check(wanted, cloud, {name.replace("_", "-"): flavor for name, flavor in replaced.items()})
    return str(refused.value)


ALL = frozenset(node.name for node in planned().nodes)


def running(**answers: Any) -> SmallCloud:
    """A cloud that has all hosts of the cluster already, and its security groups with all rules."""
    return SmallCloud(**{"there": ALL, "groups": with_rules(planned()), "keypairs": ("demo",), **answers})


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
    assert "is no network that this project can see" in refusals(SmallCloud(seen=()))


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
    ((LAN, replace(WLAN, name="")), "dmz", f"is no IPv4 subnet of this network, there are {WLAN.id} (10.254.2.0/24),"),
])  # fmt: skip
def test_a_subnet_that_is_not_there_or_not_the_only_one(lans: tuple[Subnet, ...], named: str, told: str) -> None:
    assert f"network.subnet: {told}" in refusals(SmallCloud(lans=lans), "network/subnet", named)


@pytest.mark.parametrize("other", [PODS, WLAN], ids=str)
def test_of_several_subnets_one_has_to_be_named_where_not_all_go_with_the_cluster_s_ranges(other: Subnet) -> None:
    assert refusals(SmallCloud(lans=(LAN, other))) == (
        f"  network.subnet: is missing, and a host could get its address from any of {LAN}, {other}: name one that is "
        f"in network.cidr and apart from pods, services and the link between host and guest, {LAN}"
    )


def test_of_several_subnets_that_all_go_with_the_cluster_s_ranges_none_has_to_be_named() -> None:
    assert check(planned("network", {"name": "private"}), SmallCloud(lans=(LAN, WLAN))) == ()


def test_where_no_subnet_goes_with_the_cluster_s_ranges_it_says_why() -> None:
    told = refusals(SmallCloud(lans=(PODS, replace(PODS, id="4" * 32))), "network", {"name": "private"})
    assert told.count("kubernetes.podCidr: overlaps the network's subnet 10.244.1.0/24") == 2
    assert "network.subnet" not in told


def test_hosts_that_are_there_have_their_addresses() -> None:
    everything = frozenset(node.name for node in planned().nodes)
    assert check(planned(), SmallCloud(lans=(LAN, WLAN), there=everything)) == ()


def test_a_subnet_outside_of_the_network_s_cidr() -> None:
    told = refusals(SmallCloud(lans=(LAN, WLAN)), "network/subnet", "wlan")
    assert "network.cidr: does not have network.subnet, wlan (10.254.2.0/24), in it" in told


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
        assert (
            str(refused.value) == f"{field}: is not available: this cloud has no block storage service (given: '40GiB')"
        )

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
    assert check(planned(), SmallCloud(has_image=None, there=there)) == ()
    assert "hostImage.name" in refusals(SmallCloud(has_image=None, there=there), "workers", {"x86": 9, "arm": 1})


def test_no_limit_is_no_mistake() -> None:
    assert check(planned(), SmallCloud(limits={name: Quota(1000, -1) for name in ROOMY})) == ()


def test_all_mistakes_at_once() -> None:
    told = refusals(SmallCloud(has_image=None, seen=()), "nodeTypes/arm/flavor", "m1.huge")
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


class TestReplacedHosts:
    """A flavor edit deletes a host and creates it again: what the new one needs is checked before."""

    def test_its_flavor_image_zone_and_volume_are_checked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(FLAVORS, "c0.medium", Flavor(2, 4096, 0))
        again = {"demo_x86_0": "c1.small"}
        assert "nodeTypes.x86.flavor: is no flavor" in refusals(running(), "nodeTypes/x86/flavor", "m1.huge", **again)
        assert "nodeTypes.x86.bootVolume: is missing" in refusals(
            running(), "nodeTypes/x86/flavor", "c0.medium", **again
        )
        assert "hostImage.name" in refusals(running(has_image=None), **again)
        assert "nodeTypes.x86.availabilityZone" in refusals(
            running(), "nodeTypes/x86/availabilityZone", "az-9", **again
        )

    def test_the_others_of_the_cluster_are_not(self) -> None:
        cloud = running(zones=frozenset())
        assert check(planned("controlPlanes/availabilityZone", "az-9"), cloud, {"demo-x86-0": "c1.small"}) == ()

    def test_quotas_count_what_the_flavors_grow_by(self) -> None:
        wanted = planned("nodeTypes/x86/flavor", "c1.large")
        found = {need.name: need.needed for need in needs(wanted, running(), {"demo-x86-0": "c1.medium"})}
        assert found == {"instances": 0, "cores": 6, "memory (MiB)": 4096, "ports": 0}

    def test_smaller_flavors_need_nothing_and_free_nothing_for_others(self) -> None:
        replaced = {"demo-x86-0": "c1.large", "demo-arm-0": "c1.medium"}
        found = {need.name: need.needed for need in needs(planned(), running(), replaced)}
        assert (found["cores"], found["memory (MiB)"]) == (6, 4096)

    def test_a_flavor_that_the_cloud_retired_frees_as_much_as_the_new_one_takes(self) -> None:
        assert check(planned(), running(), {"demo-x86-0": "m1.gone"}) == ()

    def test_a_quota_that_is_too_small_is_refused(self) -> None:
        cloud = running(limits={**ROOMY, "cores": Quota(36, 40)})
        told = refusals(cloud, "nodeTypes/x86/flavor", "c1.large", demo_x86_0="c1.medium")
        assert told == "  quota of cores: is exceeded: 36 of 40 are used (given: 6)"

    def test_their_volumes_go_before_the_new_ones_come(self) -> None:
        wanted, replaced = planned("nodeTypes/x86/bootVolume", {"size": "40GiB"}), {"demo-x86-0": "c1.small"}
        for sizes, expected in (({}, (1, 40)), ({"demo-x86-0": 30}, (0, 10)), ({"demo-x86-0": 60}, (0, 0))):
            found = {need.name: need.needed for need in needs(wanted, running(sizes=sizes), replaced)}
            assert (found["volumes"], found["volume storage (GiB)"]) == expected

    def test_they_keep_their_addresses(self) -> None:
        full = running(lans=(replace(LAN, free=0, gateway=False),), seen=(replace(PRIVATE, port_security=False),))
        assert check(planned(), full, {"demo-x86-0": "c1.small"}) == ()


class TestHostsThatExist:
    """What the cloud retired is no mistake for them, and a warning at most."""

    def test_a_flavor_that_is_gone(self) -> None:
        (warning,) = check(planned("nodeTypes/x86/flavor", "m1.gone"), running())
        assert warning.startswith("nodeTypes.x86.flavor: m1.gone is no longer a flavor of this cloud")
        assert check(planned("controlPlanes/flavor", "m1.gone"), running())

    def test_a_flavor_that_is_gone_is_refused_for_one_more(self) -> None:
        cloud = running(there=ALL - {"demo-x86-0"})
        assert "nodeTypes.x86.flavor: is no flavor" in refusals(cloud, "nodeTypes/x86/flavor", "m1.gone")

    def test_a_guest_that_is_edited_has_to_fit_its_host(self) -> None:
        assert "nodeTypes.x86.memory: does not fit" in refusals(running(), "nodeTypes/x86/memory", "4GiB")

    @pytest.mark.parametrize(("path", "value"), [
        ("controlPlanes/availabilityZone", "az-9"),
        ("nodeTypes/x86/availabilityZone", "az-9"),
        ("hostImage/name", "gone"),
    ])  # fmt: skip
    def test_a_zone_or_an_image_that_is_gone(self, path: str, value: str) -> None:
        assert check(planned(path, value), running()) == ()

    def test_subnets_that_came_later(self) -> None:
        assert check(planned(), running(lans=(LAN, PODS, LINK))) == ()


class TestSecurityGroups:
    @pytest.mark.parametrize("given", ["default", DEFAULT.id])
    def test_names_and_ids_are_accepted(self, given: str) -> None:
        cloud = SmallCloud(groups={"default": (DEFAULT,), DEFAULT.id: (DEFAULT,)})
        assert check(planned("securityGroups", [given]), cloud) == ()

    def test_unknown_and_ambiguous_ones_are_refused(self) -> None:
        many = tuple(replace(DEFAULT, id=f"{number:032}") for number in range(12))
        told = refusals(SmallCloud(groups={"web": many}), "securityGroups", ["web", "db"])
        assert "securityGroups: is the name of several, write an id, there are 0000" in told
        assert f"{9:032} and 2 more (given: 'web')" in told
        assert "securityGroups: is no security group that this project can see (given: 'db')" in told

    def test_where_members_may_not_ask_nothing_is_refused(self) -> None:
        assert check(planned("securityGroups", ["web"]), SmallCloud(groups=None)) == ()

    @pytest.mark.parametrize("egress", [(), (SeenRule("egress", "IPv6"),)])
    def test_new_groups_without_egress_rules_are_refused(self, egress: tuple[SeenRule, ...]) -> None:
        told = refusals(SmallCloud(egress=egress))
        assert told.startswith("  securityGroups: is missing: new security groups of this cloud let nothing out")

    def test_a_further_group_with_an_egress_rule_is_enough(self) -> None:
        assert check(planned("securityGroups", ["default"]), SmallCloud(egress=())) == ()

    def test_a_running_clusters_group_has_its_own_rules(self) -> None:
        assert check(planned(), running(egress=(), there=ALL - {"demo-x86-0"})) == ()

    def test_rules_that_an_edit_adds_are_counted(self) -> None:
        assert "security-group rules" not in {need.name for need in needs(planned(), running())}
        cidrs = ["10.78.0.0/30", *(f"10.79.{number}.0/24" for number in range(40))]
        (need,) = [it for it in needs(planned("access/allowedCidrs", cidrs), running()) if "rules" in it.name]
        assert need.needed == 160
        told = refusals(running(limits={**ROOMY, "security-group rules": Quota(7, 100)}), "access/allowedCidrs", cidrs)
        assert "quota of security-group rules: is exceeded: 7 of 100 are used (given: 160)" in told

    def test_rules_of_a_new_group_are_those_that_the_cloud_has_by_default(self) -> None:
        for egress, by_default in ((None, 2), ((EGRESS,), 1)):
            found = {need.name: need.needed for need in needs(planned(), SmallCloud(egress=egress))}
            assert found["security groups"] == 2
            # Eight between nodes, and four for the network of who reaches them.
            assert found["security-group rules"] == by_default + 8 + 4

    def test_a_cluster_of_an_earlier_release_gets_another_group(self) -> None:
        members = SeenRule("ingress", "IPv4", source=OWN.id)
        cidrs = tuple(rule for rule in with_rules(planned())["demo"][0].rules if rule.cidr)
        cloud = running(groups={"demo": (replace(OWN, rules=(EGRESS, members, *cidrs)),)})
        found = {need.name: need.needed for need in needs(planned(), cloud)}
        assert found["security groups"] == 1
        assert found["security-group rules"] == 8
        assert "security groups" not in {need.name for need in needs(planned("allowAllInClusterTraffic", True), cloud)}

    def test_traffic_of_all_kinds_between_nodes_is_one_rule(self) -> None:
        found = {need.name: need.needed for need in needs(planned("allowAllInClusterTraffic", True), running())}
        assert found["security-group rules"] == 1

    def test_a_group_of_another_program_is_not_the_clusters(self) -> None:
        found = {need.name: need.needed for need in needs(planned(), SmallCloud(groups={"demo": (DEFAULT,)}))}
        assert found["security groups"] == 2


FLOATING = {"mode": "floatingIp", "allowedCidrs": ["192.0.2.0/24"], "externalNetwork": "public", "user": "debian"}
NONE_LEFT = {**ROOMY, "floating IPs": Quota(5, 5)}


class TestFloatingIps:
    def test_one_that_is_added_later_needs_quota(self) -> None:
        told = refusals(running(limits=NONE_LEFT), "access", FLOATING)
        assert told == "  quota of floating IPs: is exceeded: 5 of 5 are used (given: 1)"

    def test_one_that_exists_needs_nothing(self) -> None:
        for seen in ((PRIVATE, PUBLIC), (PRIVATE,)):
            cloud = running(limits=NONE_LEFT, floating=PUBLIC.id, seen=seen)
            assert check(planned("access", FLOATING), cloud) == ()

    def test_one_of_another_network_is_another(self) -> None:
        assert "floating IPs" in refusals(running(limits=NONE_LEFT, floating="f" * 32), "access", FLOATING)

    @pytest.mark.parametrize(("given", "told"), [
        ("wan", "access.externalNetwork: is no network that this project can see (given: 'wan')"),
        ("private", "access.externalNetwork: is no external network, so no floating IP comes from it"),
    ])  # fmt: skip
    def test_the_network_has_to_be_external(self, given: str, told: str) -> None:
        assert told in refusals(SmallCloud(), "access", {**FLOATING, "externalNetwork": given})

    @pytest.mark.parametrize("given", ["public", PUBLIC.id])
    def test_names_and_ids_are_accepted_unless_the_name_is_ambiguous(self, given: str) -> None:
        wanted = {**FLOATING, "externalNetwork": given}
        assert check(planned("access", wanted), SmallCloud()) == ()
        twice = SmallCloud(seen=(PRIVATE, PUBLIC, replace(PUBLIC, id="9" * 32)))
        assert "is one of several networks called public" in refusals(twice, "access", wanted)


class TestImages:
    @pytest.mark.parametrize(("image", "told"), [
        (Image("queued"), "hostImage.name: is an image that cannot be booted: its status is queued"),
        (Image("active", min_ram_mib=6000), "controlPlanes.flavor: has 4096 MiB of memory, and the image of hosts"),
        (Image("active", min_disk_gib=50), "nodeTypes.x86.flavor: has 40 GiB of disk, and the image of hosts needs 50"),
    ])  # fmt: skip
    def test_an_image_that_cannot_be_booted(self, image: Image, told: str) -> None:
        assert told in refusals(SmallCloud(has_image=image))
        assert check(planned(), running(has_image=image)) == ()

    def test_a_boot_volume_has_to_hold_it(self) -> None:
        cloud = SmallCloud(has_image=Image("active", min_disk_gib=30))
        told = refusals(cloud, "controlPlanes/bootVolume", {"size": "25GiB"})
        assert told == (
            "  controlPlanes.bootVolume.size: has 25 GiB of disk, and the image of hosts needs 30 GiB (given: '25GiB')"
        )
        assert check(planned("controlPlanes/bootVolume", {"size": "40GiB"}), cloud) == ()


class TestNetworks:
    def test_a_name_of_several_is_refused(self) -> None:
        told = refusals(SmallCloud(seen=(PRIVATE, replace(PRIVATE, id="9" * 32))))
        assert f"network.name: is the name of several, write an id in network.id, there are {'9' * 32}, " in told

    def test_a_network_without_port_security_is_refused(self) -> None:
        told = refusals(SmallCloud(seen=(replace(PRIVATE, port_security=False),)))
        assert "network.name: has port security switched off" in told

    def test_a_subnet_that_overlaps_the_link_to_guests_is_refused_with_a_link_that_does_not(self) -> None:
        cloud = SmallCloud(lans=(LINK,))
        told = refusals(cloud, "network", {"name": "private"})
        assert told == (
            "  network.guestLink: overlaps the network's subnet 192.168.123.0/24: write a /30 that the site does not "
            "use, such as 172.29.123.0/30 (given: '192.168.123.0/30')"
        )
        assert check(planned("network", {"name": "private", "guestLink": "172.29.123.0/30"}), cloud) == ()

    @pytest.mark.parametrize(("subnet", "told"), [
        (replace(LAN, gateway=False), "network.name: subnet lan (10.254.1.0/24) has no gateway"),
        (replace(LAN, dhcp=False), "network.name: subnet lan (10.254.1.0/24) has DHCP switched off"),
    ])  # fmt: skip
    def test_a_subnet_without_a_gateway_or_dhcp_is_a_warning(self, subnet: Subnet, told: str) -> None:
        (warning,) = check(planned(), SmallCloud(lans=(subnet,)))
        assert warning.startswith(told)
        assert check(planned(), running(lans=(subnet,))) == ()

    def test_a_config_drive_stands_in_for_dhcp(self) -> None:
        assert check(planned("configDrive", True), SmallCloud(lans=(replace(LAN, dhcp=False),))) == ()

    def test_tags_need_their_extension(self) -> None:
        bare = SmallCloud(extensions=frozenset())
        assert "tags: are not available" in refusals(bare)
        assert check(planned("tags", []), bare) == ()
        assert check(planned(), SmallCloud(extensions=None)) == ()


def test_a_key_pair_of_somebody_else_is_refused_for_a_new_cluster() -> None:
    told = refusals(SmallCloud(keypairs=("demo",)))
    assert "name: is the name of a key pair that exists" in told
    assert "openstack keypair delete demo" in told
    for known in (running(), running(there=frozenset())):
        assert check(planned(), known) == ()


def test_swap_is_a_warning_for_new_control_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FLAVORS, "c1.swap", Flavor(2, 4096, 40, 512))
    (warning,) = check(planned("controlPlanes/flavor", "c1.swap"), SmallCloud())
    assert warning.startswith("controlPlanes.flavor: c1.swap has 512 MiB of swap")
    assert check(planned("controlPlanes/flavor", "c1.swap"), running()) == ()


def test_a_zone_that_volumes_do_not_have_is_a_warning() -> None:
    described = spoiled("controlPlanes/bootVolume", {"size": "40GiB"})
    described["controlPlanes"]["availabilityZone"] = "az-1"
    wanted = plan(load({"cluster": described}, "demo"))
    (warning,) = check(wanted, SmallCloud(zones_of_volumes=frozenset({"nova"})))
    assert warning.startswith("controlPlanes.availabilityZone: volumes have no zone az-1, there are nova")
    assert check(wanted, SmallCloud(zones_of_volumes=frozenset({"az-1"}))) == ()


def test_a_volume_type_by_id() -> None:
    assert check(planned("controlPlanes/bootVolume", {"size": "40GiB", "type": "e" * 32}), SmallCloud()) == ()


def test_members_of_a_server_group_are_counted() -> None:
    described = {**GOOD, "antiAffinity": "hard", "controlPlanes": {**GOOD["controlPlanes"], "count": 3}}
    wanted = plan(load({"cluster": described}, "demo"))
    with pytest.raises(SpecErrors) as refused:
        check(wanted, SmallCloud(limits={**ROOMY, "server group members": Quota(0, 2)}))
    assert "quota of server group members: is exceeded: 0 of 2 are used (given: 3)" in str(refused.value)


def test_quotas_that_the_cloud_does_not_tell_are_not_checked() -> None:
    assert check(planned(), SmallCloud(limits={})) == ()
    assert needs(planned(), SmallCloud(limits={})) == ()
