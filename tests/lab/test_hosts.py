"""Hosts of the running lab, asked for by Nova's API as the regular user and reached over SSH.

Run inside the lab's namespace: ``python -m lab enter .venv/bin/python -m pytest tests/lab/test_hosts.py``.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from openstack.exceptions import ForbiddenException

from lab import layout
from tests.lab.servers import DISKLESS, FLAVOR, IMAGE, NETWORK, Create, Server, eventually, is_open

MACHINE = """
<domain type='qemu'>
  <name>x</name><memory unit='MiB'>256</memory>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/x.qcow2'/><target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'><source network='default'/><model type='virtio'/></interface>
    <serial type='pty'/>
  </devices>
</domain>
"""

pytestmark = pytest.mark.timeout(300)


def test_it_is_a_host_of_its_own(server: Server) -> None:
    eventually(
        lambda: server.ssh("systemctl is-system-running", check=False) == "running", 30, "systemd without failed units"
    )
    assert server.ssh("hostname") == "hosts-test"
    assert server.ssh("cat /etc/from-user-data") == "yes it is"
    assert "done" in server.ssh("cloud-init status --wait", check=False)
    assert server.ssh("sudo id -u") == "0"
    assert server.ssh("test -e /dev/kvm || echo none") == "none"


def test_it_has_the_package_sources_of_its_image(server: Server) -> None:
    """The distribution's own, signed by its keys, by the name that they have everywhere."""
    assert server.ssh("getent hosts deb.debian.org").split()[0] == layout.MIRROR_ADDRESS
    said = server.ssh("sudo apt-get -o APT::Update::Error-Mode=any update")
    assert set(re.findall(r"https://([^/ ]+)/", said)) == {"deb.debian.org"}
    assert "Origin: Debian\n" in server.ssh("cat /var/lib/apt/lists/*_dists_bookworm_InRelease")
    # A newer one is there, and no more than that comes from backports.
    assert "~bpo12" in server.ssh("apt-cache policy qemu-system-x86 | grep Candidate")
    assert "~bpo12" not in server.ssh("apt-cache policy libvirt-daemon-system | grep Candidate")
    assert server.ssh("systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer").split() == ["enabled"] * 2


def test_a_name_that_nobody_knows_is_refused_at_once(server: Server) -> None:
    assert server.ssh("timeout 5 getent hosts nowhere.example || echo $?") == "2"


def test_the_flavor_limits_its_memory(server: Server) -> None:
    assert server.ssh("cat /sys/fs/cgroup/memory/memory.limit_in_bytes") == str(2048 << 20)
    assert server.ssh("grep MemTotal /proc/meminfo").split()[1] == str(2048 << 10)


def test_the_flavor_limits_its_cpus(server: Server) -> None:
    flavor, _, _ = layout.FLAVORS[FLAVOR]
    cpus = min(flavor, os.cpu_count() or 1)
    assert server.ssh("nproc; grep -c ^processor /proc/cpuinfo") == f"{cpus}\n{cpus}"
    # Twice as many busy loops as CPUs: seconds by the clock, and nanoseconds of all the host's processes.
    busy, usage = "timeout 5 sh -c 'while :; do :; done' &", "cat /sys/fs/cgroup/cpuacct/cpuacct.usage"
    read = f"date +%s%N; {usage}"
    said = server.ssh(f"{read}; for _ in $(seq {2 * cpus}); do {busy} done; wait; {read}")
    begin, before, end, after = map(int, said.split())
    assert (after - before) / (end - begin) < 1.1 * cpus


def test_the_flavor_limits_its_disk(server: Server, create: Create) -> None:
    other = create("hosts-test-other")
    other.await_ssh()
    _, _, disk = layout.FLAVORS[FLAVOR]
    for place in ("/", "/var"):
        assert 0.9 < int(server.ssh(f"df --output=size -B1 {place} | tail -1")) / (disk << 30) <= 1
    try:
        # What is only reserved takes nothing of the machine's.
        server.ssh("sudo fallocate -l $(( $(df --output=avail -B1 /var | tail -1) - (64 << 20) )) /var/most")
        for place in ("/var", "/opt"):
            said = server.ssh(f"sudo dd if=/dev/zero of={place}/rest bs=1M count=128 2>&1", check=False)
            assert "No space left on device" in said
        other.ssh("dd if=/dev/zero of=rest bs=1M count=128 conv=fsync && rm rest")
    finally:
        server.ssh("sudo rm -f /var/most /var/rest /opt/rest")


def test_without_a_disk_it_boots_from_a_volume_that_goes_with_it(cloud: Any, create: Create) -> None:
    """As on clouds whose flavors have no disk; Nova refuses such a server without a volume."""
    with pytest.raises(ForbiddenException, match="Only volume-backed servers are allowed for flavors with zero disk"):
        cloud.create_server("hosts-test-none", image=IMAGE, flavor=DISKLESS, network=NETWORK, auto_ip=False)
    server = create("hosts-test-volume", volume_gib=3)
    server.await_ssh()
    (attachment,) = cloud.compute.volume_attachments(server.id)
    volume = cloud.block_storage.get_volume(attachment.volume_id)
    file = layout.VOLUMES / f"volume-{volume.id}"
    assert (volume.status, volume.size, file.stat().st_size) == ("in-use", 3, 3 << 30)
    for place in ("/", "/var"):
        assert 0.9 < int(server.ssh(f"df --output=size -B1 {place} | tail -1")) / (3 << 30) <= 1
    server.ssh("echo kept | sudo tee /etc/kept /var/kept >/dev/null; sync")
    cloud.compute.reboot_server(server.id, "HARD")
    cloud.compute.wait_for_server(cloud.compute.get_server(server.id), wait=60)
    server.await_ssh()
    assert server.ssh("cat /etc/kept /var/kept") == "kept\nkept"
    cloud.delete_server(server.id, wait=True, timeout=60)
    eventually(lambda: cloud.block_storage.find_volume(volume.id) is None, 30, "the volume gone with its server")
    assert not file.exists()


def test_an_image_of_it_boots_with_what_was_written(server: Server, cloud: Any, create: Create) -> None:
    first = create("hosts-test-image")
    first.await_ssh()
    first.ssh("echo outside | sudo tee /etc/written; echo inside | sudo tee /var/lib/written; sudo rm /etc/issue")
    refused = cloud.compute.create_server_image(server.id, "hosts-test-running")
    cloud.compute.stop_server(first.id)
    cloud.compute.wait_for_server(cloud.compute.get_server(first.id), "SHUTOFF", wait=60)
    image = cloud.compute.create_server_image(first.id, "hosts-test-image")
    try:
        cloud.image.wait_for_status(image, "active", ["killed", "deleted"], interval=1, wait=120)
        second = create("hosts-test-second", image=image.id)
        second.await_ssh()
        assert second.ssh("cat /etc/written /var/lib/written; ls /etc/issue; hostname", check=False).split() == [
            *("outside", "inside"),
            "hosts-test-second",
        ]
        assert second.ssh("cat /etc/machine-id") != server.ssh("cat /etc/machine-id")
    finally:
        cloud.image.delete_image(image)
    eventually(lambda: cloud.image.find_image(refused.id) is None, 30, "no image of a host that runs")


def test_its_mtu_is_the_networks(server: Server, cloud: Any) -> None:
    assert server.ssh("cat /sys/class/net/eth0/mtu") == str(cloud.get_network(NETWORK).mtu)


def test_what_it_does_to_sysctls_stays_with_it(server: Server) -> None:
    before = Path("/proc/sys/kernel/panic").read_text()
    server.ssh("sudo sysctl -q -w kernel.panic=77 net.ipv4.ip_forward=1")
    assert server.ssh("cat /proc/sys/kernel/panic /proc/sys/net/ipv4/ip_forward") == "77\n1"
    assert Path("/proc/sys/kernel/panic").read_text() == before


def test_its_console_is_in_nova(server: Server, cloud: Any) -> None:
    assert "Reached target" in cloud.get_server_console(server.id)


def test_var_is_on_a_file_system_that_carries_overlays(server: Server) -> None:
    script = (
        "set -e; cd $(mktemp -d -p /var/tmp); mkdir l u w m;"
        " sudo mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m; sudo umount m; echo mounted"
    )
    assert server.ssh(script) == "mounted"


@pytest.mark.parametrize("kind", ["SOFT", "HARD"])
def test_reboot_by_nova(server: Server, cloud: Any, kind: str) -> None:
    before = server.boot
    server.ssh("echo kept | sudo tee /etc/kept /var/kept >/dev/null; sync")
    cloud.compute.reboot_server(server.id, kind)
    cloud.compute.wait_for_server(cloud.compute.get_server(server.id), wait=60)
    server.await_ssh()
    assert server.boot != before
    assert server.ssh("cat /etc/kept /var/kept") == "kept\nkept"


def test_reboot_from_inside(server: Server) -> None:
    before = server.boot
    server.ssh("sudo systemctl reboot", check=False)
    eventually(lambda: server.ssh("cut -d' ' -f22 /proc/1/stat", check=False) not in {"", before}, 60, "a new boot")


def test_stop_and_start(server: Server, cloud: Any) -> None:
    assert is_open(server.address, 22)
    cloud.compute.stop_server(server.id)
    cloud.compute.wait_for_server(cloud.compute.get_server(server.id), status="SHUTOFF", wait=60)
    assert not is_open(server.address, 22)
    cloud.compute.start_server(server.id)
    cloud.compute.wait_for_server(cloud.compute.get_server(server.id), wait=60)
    server.await_ssh()


def test_security_groups_are_enforced(server: Server, cloud: Any, group: Any) -> None:
    def listens() -> bool:
        return ":1F90 " in server.ssh("cat /proc/net/tcp")

    server.ssh("nohup python3 -m http.server --bind 0.0.0.0 8080 </dev/null >/dev/null 2>&1 &")
    eventually(listens, 20, "a listener on port 8080")
    assert not is_open(server.address, 8080)
    rule = cloud.create_security_group_rule(group.id, port_range_min=8080, port_range_max=8080, protocol="tcp")
    eventually(lambda: is_open(server.address, 8080), 20, "the port that the new rule allows")
    cloud.delete_security_group_rule(rule.id)
    eventually(lambda: not is_open(server.address, 8080), 30, "the port closed with its rule")
    assert listens()


@pytest.mark.full
def test_packages_libvirt_and_an_emulated_machine(server: Server) -> None:
    server.ssh("sudo apt-get -q -o APT::Update::Error-Mode=any update")
    packages = "libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base"
    server.ssh(f"sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install {packages}")
    server.ssh(
        "set -e; sudo virsh -q net-start default; sudo qemu-img create -q -f qcow2 /var/lib/libvirt/images/x.qcow2 1G;"
        f" echo {shlex.quote(MACHINE)} > x.xml; sudo virsh -q define x.xml; sudo virsh -q start x"
    )
    assert server.ssh("sudo virsh -q domstate x") == "running"
    assert "<domain type='qemu'" in server.ssh("sudo virsh dumpxml x")
    server.ssh("sudo virsh -q destroy x; sudo virsh -q undefine x --remove-all-storage")
