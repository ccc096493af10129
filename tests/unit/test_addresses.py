"""How a cluster's addresses are shared out, and every way in which they do not suffice."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Any

import pytest

from q8s_infra.spec import validated
from tests.unit.specs import GOOD, refused, spoiled


def sized(pods: str, mask: int, workers: int, control_planes: int = 1) -> dict[str, Any]:
    """The good description with a range for pods, the size of a node's part of it, and so many nodes."""
    result = spoiled("workers", {"x86": workers})
    result["kubernetes"] = {"podCidr": pods, "nodeCidrMaskSize": mask}
    result["controlPlanes"]["count"] = control_planes
    return result


@pytest.mark.parametrize(("pods", "mask", "most"), [
    ("10.244.0.0/16", 24, 256),
    ("10.244.0.0/16", 25, 512),
    ("10.244.0.0/16", 20, 16),
    ("10.244.0.0/14", 24, 1024),
    ("172.16.0.0/12", 24, 4096),
    ("10.244.0.0/24", 24, 1),
    ("10.244.0.0/25", 25, 1),
])  # fmt: skip
@pytest.mark.parametrize("control_planes", [1, 3])
def test_as_many_nodes_as_there_are_subnets_fit_and_not_one_more(
    pods: str, mask: int, most: int, control_planes: int
) -> None:
    if control_planes <= most:
        assert validated(sized(pods, mask, most - control_planes, control_planes))
    (told,) = refused(sized(pods, mask, max(most - control_planes, 0) + 1, control_planes))
    assert told.startswith(f"kubernetes.podCidr: {pods} has {most:,} subnet")


@pytest.mark.parametrize(("description", "told"), [
    (
        sized("10.244.0.0/16", 24, 1000, 3),
        "kubernetes.podCidr: 10.244.0.0/16 has 256 subnets of /24, 1,003 nodes with the control planes need a /14 or "
        "larger, such as 10.244.0.0/14 (a cluster keeps what it was made with)",
    ),
    (sized("10.244.0.0/16", 24, 256), "need a /15 or larger, such as 10.244.0.0/15, or nodeCidrMaskSize 25 (a"),
    (sized("10.244.0.0/16", 20, 200), "16 subnets of /20, 201 nodes with the control planes need a /12"),
    (sized("10.244.0.0/26", 24, 1), "10.244.0.0/26 has 0 subnets of /24, 2 nodes with the control planes need a /23"),
    # Around 10.244.0.0/16 lies the hosts' network, 10.254.1.0/24: another range is named.
    (sized("10.244.0.0/16", 24, 5000), "need a /11 or larger, such as 10.0.0.0/11 (a"),
    # No range is large enough for 5,001 nodes with so much each.
    (sized("10.244.0.0/16", 16, 5000), "need a /11 with nodeCidrMaskSize 24, such as 10.0.0.0/11 (a"),
])  # fmt: skip
def test_too_few_subnets_are_refused_with_the_arithmetic_and_what_to_write(
    description: dict[str, Any], told: str
) -> None:
    (mistake,) = refused(description)
    assert told in mistake


@pytest.mark.parametrize(("pods", "mask", "workers", "instead"), [
    ("10.244.0.0/16", 24, 256, "10.244.0.0/15"),
    ("10.246.0.0/16", 24, 1000, "10.244.0.0/14"),
    ("10.244.0.0/16", 24, 5000, "10.0.0.0/11"),
    # What lies around is not private.
    ("192.168.128.0/17", 24, 1000, "10.0.0.0/14"),
    ("100.64.0.0/16", 24, 1000, "10.0.0.0/14"),
])  # fmt: skip
def test_the_range_that_is_named_instead_is_taken(pods: str, mask: int, workers: int, instead: str) -> None:
    (told,) = refused(sized(pods, mask, workers))
    assert f"such as {instead}" in told
    assert validated(sized(instead, mask, workers)).kubernetes.pod_cidr == IPv4Network(instead)


def test_no_range_is_named_where_none_is_free() -> None:
    bad = sized("192.168.128.0/17", 24, 1000)
    bad["kubernetes"]["serviceCidr"] = "172.16.0.0/12"
    bad["network"]["cidr"] = "10.0.0.0/8"
    (told,) = refused(bad)
    assert "need a /14 or larger (a" in told


def test_the_mask_that_is_named_instead_is_taken() -> None:
    (told,) = refused(sized("10.244.0.0/16", 20, 200))
    (named,) = re.findall(r"or nodeCidrMaskSize (\d+)", told)
    assert validated(sized("10.244.0.0/16", int(named), 200))


def test_masks_are_16_bits_apart_at_most() -> None:
    description = sized("11.0.0.0/8", 24, 1)
    assert validated(description)
    description["kubernetes"]["nodeCidrMaskSize"] = 25
    assert refused(description) == [
        "kubernetes.nodeCidrMaskSize: 25 is 17 bits more than kubernetes.podCidr, 11.0.0.0/8, and Kubernetes allows "
        "16, write 24"
    ]


def test_no_range_has_subnets_for_more_nodes_than_kubernetes_makes_of_one() -> None:
    description = sized("11.0.0.0/8", 24, 0)
    description["nodeTypes"] = {f"t{number}": GOOD["nodeTypes"]["x86"] for number in range(14)}
    description["workers"] = {f"t{number}": 5000 for number in range(13)} | {"t13": 535}
    assert validated(description)
    description["workers"]["t13"] += 1
    (told,) = refused(description)
    assert told.startswith("workers: 65,537 nodes with the control planes, and Kubernetes makes 65,536 subnets")


def test_a_node_s_subnet_holds_its_pods() -> None:
    assert validated(sized("10.244.0.0/16", 25, 1))
    assert refused(sized("10.244.0.0/16", 26, 1)) == [
        "kubernetes.nodeCidrMaskSize: a /26 has addresses for 61 pods and a node runs up to 110, write 25 or less "
        "(given: 26)"
    ]


def test_addresses_are_judged_along_with_all_other_mistakes() -> None:
    bad = sized("10.244.0.0/16", 24, 1000)
    bad["kubernetes"] = {"version": "latest"}
    bad["controlPlanes"] = {"count": 3}
    bad["network"]["cidr"] = "10.96.0.0/24"
    bad["network"]["gateway"] = "10.96.0.1"
    bad["nodeTypes"]["x86"]["cpus"] = 0
    told = refused(bad)
    assert [mistake.split(": ")[0] for mistake in told] == [
        "network.gateway",
        "controlPlanes.flavor",
        "nodeTypes.x86.cpus",
        "kubernetes.version",
        "kubernetes.podCidr",
        "kubernetes.serviceCidr",
    ]
    assert "1,003 nodes" in told[4]
    assert "overlaps network.cidr" in told[5]


def test_addresses_are_judged_once_along_with_other_checks_of_the_whole() -> None:
    bad = sized("10.244.0.0/16", 24, 1000)
    bad["workers"]["tape"] = 1
    assert [mistake.split(": ")[0] for mistake in refused(bad)] == ["workers.tape", "kubernetes.podCidr"]


@pytest.mark.parametrize(("section", "value", "alone"), [
    ("kubernetes/podCidr", "10.244.0.0/33", "kubernetes.podCidr"),
    ("kubernetes/nodeCidrMaskSize", 26, "kubernetes.nodeCidrMaskSize"),
    ("kubernetes", "default", "kubernetes"),
    ("workers/x86", "many", "workers.x86"),
    ("network", "private", "network"),
])  # fmt: skip
def test_a_field_that_is_wrong_by_itself_is_not_judged_by_its_default(section: str, value: object, alone: str) -> None:
    bad = spoiled("workers", {"arm": 1000})
    bad["kubernetes"] = {"podCidr": "10.240.0.0/14"}
    *parents, last = section.split("/")
    place = bad
    for parent in parents:
        place = place[parent]
    place[last] = value
    assert [mistake.split(": ")[0] for mistake in refused(bad)] == [alone]


@pytest.mark.parametrize(("one", "first", "other", "second"), [
    ("kubernetes.podCidr", "10.244.0.0/16", "kubernetes.serviceCidr", "10.244.255.0/24"),
    ("kubernetes.podCidr", "10.244.0.0/16", "network.cidr", "10.244.255.0/24"),
    ("network.guestLink", "10.244.1.0/30", "kubernetes.podCidr", "10.244.0.0/16"),
    ("kubernetes.serviceCidr", "10.254.0.0/16", "network.cidr", "10.254.1.0/24"),
    ("network.guestLink", "192.168.123.0/30", "kubernetes.serviceCidr", "192.168.123.0/24"),
    ("network.guestLink", "192.168.123.4/30", "network.cidr", "192.168.123.0/24"),
])  # fmt: skip
def test_no_two_ranges_overlap(one: str, first: str, other: str, second: str) -> None:
    bad = spoiled("kubernetes", {})
    for path, value in ((one, first), (other, second)):
        section, field = path.split(".")
        bad[section][field] = value
    assert refused(bad) == [f"{one}: {first} overlaps {other}, {second}"]


@pytest.mark.parametrize(("field", "range_", "link"), [
    ("network.cidr", "10.254.1.0/24", "192.168.123.0/30"),
    ("network.cidr", "192.168.123.0/24", "172.29.123.0/30"),
    ("kubernetes.podCidr", "192.168.0.0/16", "172.29.123.0/30"),
    ("kubernetes.serviceCidr", "192.168.123.0/24", "172.29.123.0/30"),
])  # fmt: skip
def test_the_link_to_guests_gives_way(field: str, range_: str, link: str) -> None:
    section, name = field.split(".")
    described = spoiled("kubernetes", {})
    described[section][name] = range_
    assert str(validated(described).guest_link.cidr) == link


def test_where_no_link_is_free_one_has_to_be_named() -> None:
    described = spoiled("kubernetes", {"podCidr": "192.168.0.0/16", "serviceCidr": "172.16.0.0/12"})
    described["network"]["cidr"] = "10.0.0.0/8"
    (mistake,) = refused(described)
    assert mistake.startswith("network.guestLink: is missing: network.cidr, kubernetes.podCidr and kubernetes.")
    described["network"]["guestLink"] = "198.18.0.0/30"
    assert validated(described)


def test_a_link_that_is_missing_is_named_beside_all_other_mistakes() -> None:
    described = spoiled("kubernetes", {"podCidr": "192.168.0.0/16", "serviceCidr": "172.16.0.0/12"})
    described["network"]["cidr"] = "10.0.0.0/8"
    described["kubernetes"]["nodeCidrMaskSize"] = 16
    assert [each.partition(":")[0] for each in refused(described)] == ["network.guestLink", "kubernetes.podCidr"]


def test_a_link_to_guests_has_two_addresses() -> None:
    described = spoiled("network/guestLink", "10.123.0.0/24")
    assert refused(described) == [
        "network.guestLink: is a /24: the link has two addresses, write 10.123.0.0/30 (given: '10.123.0.0/24')"
    ]


def test_ranges_side_by_side_do_not_overlap() -> None:
    good = spoiled("kubernetes", {"podCidr": "10.244.0.0/16", "serviceCidr": "10.245.0.0/16"})
    good["network"]["cidr"] = "10.243.0.0/16"
    assert validated(good)
