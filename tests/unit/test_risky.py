"""Descriptions that are taken with a warning: what works and is dangerous, or was never tried."""

from __future__ import annotations

from typing import Any

import pytest

from q8s_infra.plan import plan
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import load, read, validated
from tests.unit.rendered import SHAPES, shipped
from tests.unit.specs import GOOD, KEYLESS, MAINTAINED, spoiled

RISKY: list[tuple[str, Any, str, str]] = [
    ("access/allowedCidrs", ["0.0.0.0/0"], "access.allowedCidrs", "all of the internet may reach SSH and the API"),
    ("access/allowedCidrs", ["0.0.0.0/1", "128.0.0.0/1"], "access.allowedCidrs", "all of the internet may reach SSH"),
    (
        "access/allowedCidrs",
        ["10.0.0.0/8", "128.0.0.0/2", "0.0.0.0/1", "192.0.0.0/2"],
        "access.allowedCidrs",
        "all of the internet may reach SSH",
    ),
    ("access/user", "root", "access.user", "most cloud images let no root log in"),
    ("kubernetes/version", "1.33.1", "kubernetes.version", "1.33.1 was never tested with this program, 1.34 and 1.35"),
    ("kubernetes/version", "1.36.0", "kubernetes.version", "1.36.0 was never tested with this program"),
    ("kubernetes/version", "1.37.2", "kubernetes.version", "try it with a cluster that you can lose"),
    ("nodePorts", "20-30", "nodePorts", "22 (SSH of hosts)"),
    ("nodePorts", "2222-2222", "nodePorts", "2222 (SSH of guests)"),
    ("nodePorts", "6000-7000", "nodePorts", "6443 (the API server)"),
    ("nodePorts", "9474-9500", "nodePorts", "9474 (images and payloads for guests)"),
    ("nodePorts", "10000-20000", "nodePorts", "10250 (kubelet), 10256 (kube-proxy's health)"),
    ("nodePorts", "2000-2400", "nodePorts", "2379 (etcd), 2380 (etcd)"),
    ("nodePorts", "1-65535", "nodePorts", "take a range without them, such as 30000-32767"),
    ("openPorts/tcp", [8080, "6000-7000"], "openPorts.tcp.1", "is open to all of the internet (openPorts.cidr)"),
    ("openPorts/udp", [8472], "openPorts.udp.0", "8472 (Flannel's VXLAN)"),
    ("kubernetes/podCidr", "240.0.0.0/16", "kubernetes.podCidr", "is of a reserved range (240.0.0.0/4)"),
    ("kubernetes/podCidr", "8.8.0.0/16", "kubernetes.podCidr", "is of public addresses"),
    ("kubernetes/serviceCidr", "9.0.0.0/12", "kubernetes.serviceCidr", "is of public addresses"),
    (
        "guestImages/arm64/url",
        "https://host/img?sig=abc",
        "guestImages.arm64.url",
        "has a query: if that is a signature",
    ),
    ("guestImages/arm64/url", "http://127.0.0.1/img", "guestImages.arm64.url", "127.0.0.1 is each machine itself"),
    ("sources/registryMirror", "http://localhost:5000", "sources.registryMirror", "localhost is each machine itself"),
    ("sources/hostApt", [{**KEYLESS, "uri": "http://[::1]/d"}], "sources.hostApt.0.uri", "::1 is each machine itself"),
    ("sources/guestApt", {"arm64": [{**KEYLESS, "uri": "http://m?a"}]}, "sources.guestApt.arm64.0.uri", "has a query"),
    ("sources/registries", {"a.b": {"mirror": "http://localhost"}}, "sources.registries.a.b.mirror", "name the server"),
    ("proxy", {"http": "http://u:pw@localhost:3128"}, "proxy.http", "localhost is each machine itself"),
    ("controlPlanes/count", 2, "controlPlanes.count", "an odd number is better"),
]


def warned(path: str, value: Any) -> tuple[str, ...]:
    return plan(validated(spoiled(path, value)), MAINTAINED).warnings


@pytest.mark.parametrize(("path", "value", "named", "words"), RISKY, ids=[f"{it[0]}={it[1]!r}"[:60] for it in RISKY])
def test_a_risk_is_warned_of(path: str, value: Any, named: str, words: str) -> None:
    (warning,) = warned(path, value)
    assert warning.startswith(f"{named}: ")
    assert words in warning
    assert "sig=" not in warning
    assert "pw" not in warning


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kubernetes/version", "1.34.9"),
        ("kubernetes/version", "1.35.4"),
        ("nodePorts", "30000-32767"),
        ("nodePorts", "23-2221"),
        ("openPorts", {"tcp": ["22", 6443], "cidr": "10.0.0.0/8"}),
        ("openPorts/tcp", [80, 443, "30000-32767"]),
        ("access/allowedCidrs", ["0.0.0.0/1", "128.0.0.0/2"]),
        ("kubernetes/podCidr", "100.64.0.0/16"),
    ],
)
def test_what_is_no_risk_is_not_warned_of(path: str, value: Any) -> None:
    assert not warned(path, value)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shipped_shapes_are_taken_without_new_warnings(shape: str) -> None:
    spec = load({"cluster": shipped(shape)}, shape, base=REPOSITORY)
    assert not [each for each in plan(spec, MAINTAINED).warnings if not each.startswith("controlPlanes.count: 2 ")]


def test_the_shipped_prototype_s_file_is_taken_without_new_warnings() -> None:
    spec = load(read(REPOSITORY / "clusters/prototype.yaml"), "prototype", base=REPOSITORY)
    assert not [each for each in plan(spec, MAINTAINED).warnings if not each.startswith("controlPlanes.count: 2 ")]


def test_the_good_description_has_no_risk() -> None:
    assert not plan(validated(GOOD), MAINTAINED).warnings
