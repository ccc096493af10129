"""The link between a host and its guest, with a stand-in for libvirt; and the guest's MTU."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from q8s_infra.defaults import GUEST_LINKS, GuestLink
from q8s_infra.remote import HOSTSCRIPTS
from q8s_infra.render.domain import network_xml
from tests.unit.hostscript import stand_in, step

UUID = "0c3a9a6e-5f0b-4b1e-9f0e-3b5e3b6f8d11"
OF_THE_HOST = "10.0.0.5"
# Its state is files; like libvirt's, it takes another definition of a network only with the UUID of the first one.
VIRSH = f"""
shift; echo "$*" >>asked
case $1 in
net-info) [[ -e defined ]] && {{ [[ -e active ]] && echo "Active: yes" || echo "Active: no"; }} ;;
net-uuid) [[ -e defined ]] && echo {UUID} ;;
net-define) [[ ! -e defined ]] || grep -q "<uuid>{UUID}</uuid>" "$2" || exit 1; cp "$2" defined ;;
net-start) [[ ! -e port-53 ]] && cp defined active ;;
net-destroy) rm active ;;
list) [[ ! -e guest ]] || echo guest ;;
esac
"""
INTERFACES = json.dumps(
    [
        {},
        {"ifname": "other0", "addr_info": [{"family": "inet", "local": "10.0.0.50"}]},
        {"ifname": "lo", "addr_info": [{"family": "inet", "local": OF_THE_HOST}]},
    ]
)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host on a subnet without a gateway. Its interface is this machine's, too, as the MTU is looked up."""
    (tmp_path / "network.xml").write_text(network_xml(GuestLink(GUEST_LINKS[0])))
    stand_in(tmp_path / "programs", "iptables", "")
    stand_in(tmp_path / "programs", "virsh", VIRSH)
    stand_in(
        tmp_path / "programs", "ip", f"case $* in *route*) echo '{ROUTE}' ;; *address*) echo '{INTERFACES}' ;; esac"
    )
    return tmp_path


ROUTE = "10.0.0.9 dev lo src 10.0.0.5 uid 0 \\    cache"


def run(host: Path, commands: str) -> subprocess.CompletedProcess[str]:
    """Run commands of a host's step."""
    library = (HOSTSCRIPTS / "link.sh").read_text().replace("/run/", f"{host}/")
    (host / "link.sh").write_text(library)
    given = f"data={host}/data address={OF_THE_HOST} guest_address=192.168.123.2"
    ours = "progress() { echo $*; }; host_service() { :; }"
    path = f"PATH={host}/programs:{os.environ['PATH']}"
    sources = f"source link.sh; source {HOSTSCRIPTS}/guest-network.sh; source {HOSTSCRIPTS}/guest-files.sh"
    return step(host, "eval", f"{path}; {sources}; {given}; {ours}; {commands}")


def prepared(host: Path) -> str:
    """What the step says, once the network is as it should be on a host."""
    done = run(host, "guest_network")
    assert done.returncode == 0, done.stderr
    return done.stdout


def asked(host: Path) -> list[str]:
    """What of libvirt was asked for since the last time, but for questions."""
    told = (host / "asked").read_text().splitlines()
    (host / "asked").unlink()
    return [line.split()[0] for line in told if line.split()[0] in {"net-define", "net-start", "net-destroy"}]


def test_a_new_host_has_its_link_and_a_second_run_changes_nothing(host: Path) -> None:
    assert prepared(host) == ""
    assert asked(host) == ["net-define", "net-start"]
    assert f'<mtu size="{Path("/sys/class/net/lo/mtu").read_text().strip()}"' in (host / "active").read_text()
    assert prepared(host) == ""
    assert asked(host) == []


def changed(host: Path) -> None:
    """The link's document is another release's."""
    (host / "network.xml").write_text(network_xml(GuestLink(GUEST_LINKS[0])).replace('delay="0"', 'delay="1"'))


def test_a_changed_link_waits_while_its_guest_runs(host: Path) -> None:
    prepared(host)
    (host / "guest").touch()
    changed(host)
    asked(host)
    for _ in range(2):
        assert "when the host boots next, or with the next guest" in prepared(host)
    assert asked(host) == ["net-define"]
    assert 'delay="1"' in (host / "defined").read_text()
    assert 'delay="0"' in (host / "active").read_text()

    # As define-guest.sh does for the next guest.
    (host / "guest").unlink()
    for expected in (["net-destroy", "net-start"], []):
        assert run(host, "link_current").returncode == 0
        assert asked(host) == expected
    assert 'delay="1"' in (host / "active").read_text()


def test_a_changed_link_is_started_anew_where_no_guest_runs(host: Path) -> None:
    prepared(host)
    changed(host)
    asked(host)
    assert prepared(host) == ""
    assert asked(host) == ["net-define", "net-destroy", "net-start"]


def test_a_refused_definition_is_given_again(host: Path) -> None:
    stand_in(host / "programs", "virsh", f"[[ $2 != net-define ]] || exit 1\n{VIRSH}")
    assert run(host, "guest_network").returncode != 0
    stand_in(host / "programs", "virsh", VIRSH)
    prepared(host)
    assert asked(host) == ["net-define", "net-start"]


def test_a_link_that_does_not_start_says_why_it_may_not(host: Path) -> None:
    (host / "port-53").touch()
    done = run(host, "guest_network")
    assert done.returncode == 1
    assert "does this host have its addresses or its port 53 in use?" in done.stderr


def test_the_interface_is_the_one_with_the_nodes_address(host: Path) -> None:
    prepared(host)
    assert "NIC=lo" in (host / "forward.env").read_text().splitlines()


def test_a_host_without_the_nodes_address_is_told_so(host: Path) -> None:
    done = run(host, "address=10.0.0.7; guest_network")
    assert done.returncode == 1
    assert (
        "q8s: node node, layer host, step test: no interface of this host has the node's address 10.0.0.7"
        in done.stderr
    )
    assert "Traceback" not in done.stderr


def seeded(host: Path) -> subprocess.CompletedProcess[str]:
    (host / "seed").mkdir()
    (host / "seed/network-config").write_text("mtu: @MTU@\n")
    return run(host, "artifacts=http://10.0.0.9:9474; guest_seed")


def test_a_guest_has_the_mtu_of_the_clusters_network(host: Path) -> None:
    assert seeded(host).returncode == 0
    mtu = Path("/sys/class/net/lo/mtu").read_text()
    assert (host / "seed/network-config").read_text() == f"mtu: {mtu}"


def test_a_host_without_a_route_to_the_first_control_plane_is_told_so(host: Path) -> None:
    stand_in(host / "programs", "ip", "echo 'RTNETLINK answers: Network is unreachable' >&2; exit 2")
    done = seeded(host)
    assert done.returncode == 1
    assert "this host has no route to the first control plane at 10.0.0.9" in done.stderr
    assert "Traceback" not in done.stderr
