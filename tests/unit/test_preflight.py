"""What the cloud is asked before anything is created, and every way in which it may say no."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

import pytest

from q8s_infra.cloud import Flavor, Quota, Subnet
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
    "security groups": Quota(1, 10),
    "security-group rules": Quota(4, 100),
}


@dataclass
class SmallCloud:
    """A cloud with fixed answers."""

    limits: dict[str, Quota] = field(default_factory=lambda: dict(ROOMY))
    subnet: Subnet | None = field(default_factory=lambda: Subnet(IPv4Network("10.254.1.0/24"), 200))
    image_names: tuple[str, ...] = ("debian-12",)
    there: frozenset[str] = frozenset()

    def flavor(self, name: str) -> Flavor | None:
        return FLAVORS.get(name)

    def has_image(self, name: str) -> bool:
        return name in self.image_names

    def subnets(self, network: Network) -> tuple[Subnet, ...] | None:
        assert network.name == "private"
        return None if self.subnet is None else (self.subnet,)

    def quotas(self) -> Mapping[str, Quota]:
        return self.limits

    def servers(self, names: Iterable[str]) -> frozenset[str]:
        return self.there & frozenset(names)


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


def test_an_unknown_network() -> None:
    assert "is no network that this project can see" in refusals(SmallCloud(subnet=None))


def test_too_few_free_addresses() -> None:
    cloud = SmallCloud(subnet=Subnet(IPv4Network("10.254.1.0/24"), 3))
    assert "has 3 free addresses, the cluster takes 4 more" in refusals(cloud)


@pytest.mark.parametrize("name", sorted(ROOMY))
def test_each_quota_is_refused_by_name_with_what_is_used_and_the_limit(name: str) -> None:
    told = refusals(SmallCloud(limits={**ROOMY, name: Quota(7, 7)}))
    assert f"quota of {name}" in told
    assert "7 of 7 are used" in told


def test_no_limit_is_no_mistake() -> None:
    assert check(planned(), SmallCloud(limits={name: Quota(1000, -1) for name in ROOMY})) == ()


def test_all_mistakes_at_once() -> None:
    told = refusals(SmallCloud(image_names=(), subnet=None), "nodeTypes/arm/flavor", "m1.huge")
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
