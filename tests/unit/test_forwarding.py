"""The firewalls of hosts, with packets: from a guest through its host, and from a pod through a control plane."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from q8s_infra.defaults import CONTROL_PLANE_PORT, GUEST_LINKS, PAYLOAD_PORT, GuestLink
from q8s_infra.remote import HOSTSCRIPTS
from q8s_infra.render.domain import network_xml
from tests.unit.namespaces import Machine

METADATA, ELSEWHERE = "169.254.169.254:80", "192.0.2.1:80"
GUEST_LINK = GuestLink(GUEST_LINKS[0])
BRIDGE = ET.fromstring(network_xml(GUEST_LINK)).find("bridge").attrib["name"]  # type: ignore[union-attr]
LINK, NODE, CLOUD = GUEST_LINK.host, "10.0.0.5", "10.0.0.1"


@dataclass(frozen=True)
class Site:
    """A host between a cloud, which has the metadata service, and what runs on the host."""

    host: Machine
    cloud: Machine
    inner: Machine
    programs: Path

    def script(self, name: str, **variables: str) -> None:
        """Run a script of a host's on it."""
        path = f"{self.programs}:{os.environ['PATH']}"
        self.host.run("bash", HOSTSCRIPTS / name, env={"PATH": path, **variables})

    def forward(self) -> None:
        """Run q8s-forward.sh as guest-network.sh does."""
        self.script("q8s-forward.sh", NIC="ens3", NODE_ADDRESS=NODE, GUEST_ADDRESS=GUEST_LINK.guest)

    def rules(self, *words: str) -> str:
        """Run iptables on the host."""
        return self.host.run(self.programs / "iptables", "--wait", *words)


@pytest.fixture(params=["nft", "legacy"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """With the iptables of either kind."""
    for name in ("iptables", "iptables-restore"):
        (tmp_path / name).symlink_to(f"/usr/sbin/xtables-{request.param}-multi")
    made: list[Machine] = []
    try:
        for _ in range(3):
            made.append(Machine())
        host, cloud, inner = made
        host.wire("ens3", f"{NODE}/24", cloud, "out", f"{CLOUD}/24")
        for place in (METADATA, ELSEWHERE):
            cloud.run("ip", "address", "add", f"{place.split(':')[0]}/32", "dev", "lo")
        cloud.listen(80)
        host.run("ip", "route", "add", "default", "via", CLOUD)
        yield Site(host, cloud, inner, tmp_path)
    finally:
        for machine in made:
            machine.end()


@pytest.fixture
def worker(site: Site) -> Site:
    """A worker's host with its guest, before any of our rules."""
    site.host.wire(BRIDGE, f"{LINK}/30", site.inner, "eth0", f"{GUEST_LINK.guest}/30")
    site.inner.run("ip", "route", "add", "default", "via", LINK)
    site.inner.listen(22, 8080)
    site.host.listen(22, 53, CONTROL_PLANE_PORT, PAYLOAD_PORT, 9999)
    return site


@pytest.fixture
def control_plane(site: Site) -> Site:
    """A control plane with a pod, before any of our rules."""
    site.host.wire("cni0", "10.244.0.1/24", site.inner, "eth0", "10.244.0.2/24")
    site.inner.run("ip", "route", "add", "default", "via", "10.244.0.1")
    site.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    site.rules("-t", "nat", "-A", "POSTROUTING", "-s", "10.244.0.0/16", "-o", "ens3", "-j", "MASQUERADE")
    site.rules("-A", "FORWARD", "-s", "10.244.0.0/16", "-j", "ACCEPT")
    return site


def test_a_guest_is_refused_the_metadata_of_its_host_and_reaches_all_else(worker: Site) -> None:
    worker.forward()
    assert worker.inner.asks(METADATA, "169.254.1.1:80", ELSEWHERE) == {
        METADATA: "refused",
        "169.254.1.1:80": "refused",
        ELSEWHERE: "open",
    }
    assert worker.host.asks(METADATA) == {METADATA: "open"}


def test_a_guest_is_refused_metadata_from_any_address_of_its_own(worker: Site) -> None:
    worker.forward()
    of_a_pod = "10.244.3.2"
    worker.inner.run("ip", "address", "add", f"{of_a_pod}/32", "dev", "lo")
    worker.inner.run("ip", "route", "replace", "default", "via", LINK, "src", of_a_pod)
    # The host has no way back, so the guest does not hear of the refusal, and the rule's count tells.
    assert worker.inner.asks(METADATA) == {METADATA: "dropped"}
    refused = worker.rules("-vnxL", "Q8S-FORWARD").splitlines()[2].split()
    assert int(refused[0]) > 0
    assert "REJECT" in refused


def test_a_guest_reaches_of_its_host_what_it_needs(worker: Site) -> None:
    worker.forward()
    needed = [f"{LINK}:{port}" for port in ("53", "53/udp", CONTROL_PLANE_PORT, PAYLOAD_PORT)]
    others = [f"{LINK}:22", f"{LINK}:9999", f"{LINK}:9999/udp", f"{NODE}:22"]
    assert worker.inner.asks(*needed, *others) == dict.fromkeys(needed, "open") | dict.fromkeys(others, "refused")


def test_what_a_host_s_own_firewall_refuses_stays_refused(worker: Site) -> None:
    worker.rules("-A", "INPUT", "-i", BRIDGE, "-p", "tcp", "--dport", str(CONTROL_PLANE_PORT), "-j", "REJECT")
    worker.forward()
    assert worker.inner.asks(f"{LINK}:{CONTROL_PLANE_PORT}") == {f"{LINK}:{CONTROL_PLANE_PORT}": "refused"}


def test_a_host_reaches_its_guest_and_others_reach_both(worker: Site) -> None:
    worker.forward()
    assert worker.host.asks(f"{GUEST_LINK.guest}:22") == {f"{GUEST_LINK.guest}:22": "open"}
    to_guest = {f"{NODE}:{port}": "open" for port in (22, 2222, 8080)}
    assert worker.cloud.asks(*to_guest, f"{NODE}:9999") == {**to_guest, f"{NODE}:9999": "refused"}


def test_forwarding_is_the_same_after_a_second_run_and_before_what_others_add(worker: Site) -> None:
    worker.forward()
    once = worker.rules("-S")
    worker.forward()
    assert worker.rules("-S") == once
    for chain in ("FORWARD", "INPUT"):
        worker.rules("-I", chain, "-i", BRIDGE, "-j", "ACCEPT")
    assert worker.inner.asks(METADATA, f"{LINK}:22") == {METADATA: "open", f"{LINK}:22": "open"}
    worker.forward()
    assert worker.inner.asks(METADATA, f"{LINK}:22") == {METADATA: "refused", f"{LINK}:22": "refused"}
    assert worker.rules("-S", "FORWARD").count("Q8S-FORWARD") == 1


def test_a_pod_of_a_control_plane_is_refused_metadata_and_reaches_all_else(control_plane: Site) -> None:
    assert control_plane.inner.asks(METADATA) == {METADATA: "open"}
    control_plane.script("q8s-metadata.sh")
    assert control_plane.inner.asks(METADATA, ELSEWHERE) == {METADATA: "refused", ELSEWHERE: "open"}
    assert control_plane.host.asks(METADATA) == {METADATA: "open"}


def test_pods_are_refused_metadata_before_what_others_add(control_plane: Site) -> None:
    control_plane.script("q8s-metadata.sh")
    once = control_plane.rules("-S")
    control_plane.script("q8s-metadata.sh")
    assert control_plane.rules("-S") == once
    control_plane.rules("-I", "FORWARD", "-s", "10.244.0.0/16", "-j", "ACCEPT")
    control_plane.script("q8s-metadata.sh")
    assert control_plane.inner.asks(METADATA) == {METADATA: "refused"}
    assert control_plane.rules("-S", "FORWARD").count("Q8S-METADATA") == 1
