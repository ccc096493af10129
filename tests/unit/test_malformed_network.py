"""Addresses, ports, URLs and ways in that Kubernetes, libvirt, apt or nobody would take: refused by their field."""

from __future__ import annotations

from pathlib import Path

import pytest

from q8s_infra.spec import validated
from tests.unit.malformed import Row, checked, identified, refused_row, written
from tests.unit.specs import GOOD, KEYLESS, PROTOTYPE, spoiled

SECRET_URL = "https://build:pw@host/img"
PASSWORD = "has a user or a password in it"
A_URL = "a URL is http://HOST[:PORT][/PATH]"
OURS: list[Row] = [
    ("kubernetes/serviceCidr", "10.0.0.0/8", "kubernetes.serviceCidr", "a /8, and Kubernetes takes a /12 to a /28"),
    ("kubernetes/serviceCidr", "10.96.0.0/11", "kubernetes.serviceCidr", "a /11, and Kubernetes takes a /12 to a /28"),
    ("kubernetes/serviceCidr", "10.96.0.0/29", "kubernetes.serviceCidr", "a /29, and Kubernetes takes a /12 to a /28"),
    ("kubernetes/serviceCidr", "10.96.0.1", "kubernetes.serviceCidr", "a /32, and Kubernetes takes a /12 to a /28"),
    ("kubernetes/serviceCidr", "127.16.0.0/16", "kubernetes.serviceCidr", "127.0.0.0/8, which are of each machine's"),
    ("kubernetes/serviceCidr", "169.254.0.0/16", "kubernetes.serviceCidr", "of one link only (link-local)"),
    ("kubernetes/serviceCidr", "224.0.0.0/12", "kubernetes.serviceCidr", "of groups (multicast)"),
    ("kubernetes/serviceCidr", "fd00::/108", "kubernetes.serviceCidr", "is of IPv6, and only IPv4 works here"),
    ("kubernetes/podCidr", "127.0.0.0/16", "kubernetes.podCidr", "127.0.0.0/8, which are of each machine's own"),
    ("kubernetes/podCidr", "169.254.0.0/16", "kubernetes.podCidr", "169.254.0.0/16, which are of one link only"),
    ("kubernetes/podCidr", "168.0.0.0/7", "kubernetes.podCidr", "169.254.0.0/16, which are of one link only"),
    ("kubernetes/podCidr", "239.0.0.0/16", "kubernetes.podCidr", "224.0.0.0/4, which are of groups (multicast)"),
    ("kubernetes/podCidr", "0.0.0.0/0", "kubernetes.podCidr", "of no address (unspecified): take a private range"),
    ("kubernetes/podCidr", "0.1.0.0/16", "kubernetes.podCidr", "of no address (unspecified): take a private range"),
    ("kubernetes/podCidr", "2001:db8::/48", "kubernetes.podCidr", "is of IPv6, and only IPv4 works here"),
    ("network/cidr", "127.0.0.0/24", "network.cidr", "127.0.0.0/8, which are of each machine's own (loopback)"),
    ("network/cidr", "169.254.169.0/24", "network.cidr", "of one link only (link-local), the cloud's metadata too"),
    ("network/cidr", "224.0.0.0/24", "network.cidr", "of groups (multicast)"),
    ("access/allowedCidrs", ["2001:db8::/32"], "access.allowedCidrs.0", "is of IPv6, and only IPv4 works here"),
    (
        "access/allowedCidrs",
        [],
        "access.allowedCidrs",
        "is empty, so the hosts could not be reached, not even by this program",
    ),
    ("access", ..., "access.allowedCidrs", "such as 203.0.113.7/32, or a group in securityGroups that lets it in"),
    ("securityGroups", ["demo-control-planes"], "securityGroups.0", "demo-control-planes is a group that this cluster"),
    ("securityGroups", ["default", "demo"], "securityGroups.1", "demo is a group that this cluster makes for itself"),
    ("openPorts/cidr", "::/0", "openPorts.cidr", "is of IPv6, and only IPv4 works here"),
    ("openPorts/tcp", ["80-"], "openPorts.tcp.0", "a port is a number from 1 to 65535, or a range such as 8000-8010"),
    ("nodePorts", "30000:32767", "nodePorts", "a port is a number from 1 to 65535, or a range such as 8000-8010"),
    ("guestImages/x86_64/url", SECRET_URL, "guestImages.x86_64.url", PASSWORD),
    ("guestImages/x86_64/url", "https://token@host/img", "guestImages.x86_64.url", PASSWORD),
    ("guestImages/x86_64/url", "http://m/a b.img", "guestImages.x86_64.url", A_URL),
    ("guestImages/x86_64/url", "http://m/a\n", "guestImages.x86_64.url", A_URL),
    ("guestImages/x86_64/url", "http://m/a\0", "guestImages.x86_64.url", A_URL),
    ("guestImages/x86_64/url", 'http://m/"a"', "guestImages.x86_64.url", A_URL),
    ("guestImages/x86_64/url", "http:///img", "guestImages.x86_64.url", A_URL),
    ("guestImages/x86_64/url", "http://m:99999/img", "guestImages.x86_64.url", A_URL),
    ("guestImages/x86_64/url", "http://[::1/img", "guestImages.x86_64.url", A_URL),
    ("guestImages/x86_64/url", "ftp://m/img", "guestImages.x86_64.url", A_URL),
    ("sources/hostApt", [{**KEYLESS, "uri": SECRET_URL}], "sources.hostApt.0.uri", PASSWORD),
    ("sources/hostApt", [{**KEYLESS, "suites": ["a b"]}], "sources.hostApt.0.suites.0", "one word each, of letters"),
    ("sources/hostApt", [{**KEYLESS, "suites": ["/"]}], "sources.hostApt.0.components", "write components: []"),
    ("sources/hostApt", [{**KEYLESS, "components": []}], "sources.hostApt.0.components", "one at least, such as main"),
    (
        "sources/kubernetesApt",
        {**KEYLESS, "keySha256": "c" * 64, "keyUrl": "https://u:p@host/key"},
        "sources.kubernetesApt.keyUrl",
        PASSWORD,
    ),
    ("sources/registryMirror", "https://u:p@mirror", "sources.registryMirror", "have fields of their own under"),
    ("sources/registryMirror", "file:///mirror", "sources.registryMirror", "a mirror of registries is http://HOST"),
    ("sources/registryMirror", 'http://m/"]\n', "sources.registryMirror", "a mirror of registries is http://HOST"),
    ("network/name", "a\0b", "network.name", "has a NUL character"),
]
THEIRS: list[Row] = [
    ("git_url", "https://me:token@host/q8s.git", "git_url", "has a user or a password in it: it is not used"),
    ("remote_ip_prefix", "127.0.0.0/24", "remote_ip_prefix", "127.0.0.0/8, which are of each machine's own"),
    ("remote_ip_prefix", "169.254.0.0/24", "remote_ip_prefix", "of one link only (link-local)"),
    ("remote_ip_prefix", "2001:db8::/64", "remote_ip_prefix", "is of IPv6, and only IPv4 works here"),
    ("security_groups", ["demo"], "security_groups", "demo is a group that this cluster makes for itself"),
    ("security_groups", ["q8s-cluster"], "access.allowedCidrs", "is empty, so the hosts could not be reached"),
]


@pytest.mark.parametrize("row", OURS, ids=identified(OURS))
def test_a_network_that_cannot_work_is_refused(row: Row, tmp_path: Path) -> None:
    refused_row(GOOD, row, tmp_path)


@pytest.mark.parametrize("row", THEIRS, ids=identified(THEIRS))
def test_a_network_that_cannot_work_is_refused_in_the_prototype_s_file(row: Row, tmp_path: Path) -> None:
    refused_row(PROTOTYPE, row, tmp_path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kubernetes/serviceCidr", "10.96.0.0/12"),
        ("kubernetes/serviceCidr", "10.96.0.0/28"),
        ("kubernetes/podCidr", "100.64.0.0/16"),
        ("kubernetes/podCidr", "240.0.0.0/16"),
        ("access/allowedCidrs", ["10.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16"]),
        ("access/allowedCidrs", []),
        ("guestImages/x86_64/url", "https://host/a@b/img?x=1"),
        ("sources/registryMirror", "http://[fd00::1]:5000/v2/cache"),
        ("sources/hostApt", [{**KEYLESS, "suites": ["./"], "components": []}]),
    ],
)
def test_a_network_that_works_is_taken(path: str, value: object) -> None:
    good = {**GOOD, "securityGroups": ["default"]}
    assert validated(spoiled(path, value, good))


def test_hosts_that_open_ports_for_ssh_need_no_further_network() -> None:
    opened = spoiled("openPorts", {"tcp": ["20-30"], "cidr": "10.0.0.0/8"})
    assert validated(spoiled("access/allowedCidrs", [], opened))


def test_a_url_s_password_is_not_told_again(tmp_path: Path) -> None:
    content = spoiled("guestImages/x86_64/url", SECRET_URL)
    content = spoiled("sources/hostApt", [{**KEYLESS, "uri": SECRET_URL}], content)
    content = spoiled("securityGroups", {"a": [SECRET_URL]}, content)
    told = checked(written(GOOD, content, tmp_path))
    assert len(told) == 3
    assert not any("pw" in each for each in told)
