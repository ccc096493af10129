"""A guest that hangs while it boots is reset by its host, one that is off is powered on, and `diagnose` tells of both.

One test for these, since each boot of an emulated machine takes a minute of the two cores that all this has.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from openstack.connection import Connection

from tests.lab.conftest import Cluster, inside
from tests.lab.test_cluster import eventually
from tests.lab.test_cluster_changes import running
from tests.lab.test_diagnose import broken_layer, diagnosed

pytestmark = pytest.mark.timeout(900)

NODE = "test-x86-small-0"
ROOT = Path("/var/lib/libvirt/q8s/guest/root.qcow2")
DROP_IN = Path("/run/systemd/system/q8s-guest-watch.service.d/test.conf")
EMULATOR = Path("/run/libvirt/qemu/guest.pid")
HANGS_SECONDS = 10


@dataclass(frozen=True)
class Host:
    """A worker's host, from inside."""

    enter: Sequence[str]

    def __call__(self, *words: str | Path) -> str:
        """What a command prints there."""
        command = [*self.enter, *map(str, words)]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def write(self, path: Path, text: str) -> None:
        self("sh", "-c", f"mkdir -p {path.parent} && printf '%s\n' '{text}' >{path}")

    def told(self, end: str) -> list[str]:
        """What the watch has said that ends like this."""
        said = self("journalctl", "--boot", "--output=cat", "--unit=q8s-guest-watch")
        return [line for line in said.splitlines() if line.endswith(end)]

    def resets(self) -> list[str]:
        """What the watch has said of resets."""
        return self.told(": reset")

    def off(self) -> None:
        """The guest is off, as after a crash of its emulator; the watch is, too."""
        self("systemctl", "stop", "q8s-guest-watch")
        self("virsh", "-q", "destroy", "guest")


def on_it(cluster: Cluster) -> dict[str, int]:
    """Restarts of the pods that run on the node."""
    return running(cluster, *(cluster.nodes().keys() - {NODE}))


@pytest.fixture
def host(cloud: Connection) -> Iterator[Host]:
    """The host of an x86_64 worker of the cluster; it waits for a guest less long than hosts do."""
    host = Host(inside(cloud, NODE))
    host.write(DROP_IN, f"[Service]\nEnvironment=QUIET_SECONDS={HANGS_SECONDS} POLL_SECONDS=2")
    host("systemctl", "daemon-reload")
    host("systemctl", "restart", "q8s-guest-watch")
    yield host
    host("rm", DROP_IN)
    host("systemctl", "daemon-reload")
    host("systemctl", "restart", "q8s-guest-watch")


def test_a_guest_goes_on_while_libvirtd_is_restarted(cluster: Cluster, cloud: Connection) -> None:
    # By another process: the way in ends with the one that it is by.
    host = Host(inside(cloud, NODE, "haproxy"))

    def state() -> tuple[object, ...]:
        return host("cat", EMULATOR), host("virsh", "-q", "domstate", "guest").strip(), host.told(": powered on")

    before, restarts = state(), on_it(cluster)
    assert before[1] == "running"
    assert restarts
    host("systemctl", "restart", "libvirtd")
    assert state() == before
    assert cluster.kubectl.ready()[NODE] == "True"
    assert on_it(cluster) == restarts


def test_a_guest_that_hangs_is_reset_and_one_that_is_off_is_powered_on(
    cluster: Cluster, host: Host, tmp_path: Path
) -> None:
    def layer(expected: str) -> str:
        code, said = diagnosed(cluster, tmp_path / f"{os.urandom(4).hex()}.tar.gz", NODE)
        assert code == (2 if expected else 0), said
        assert broken_layer(said, NODE) == (expected or "none"), said
        return said

    before, powered_on = host.resets(), host.told(": powered on")
    restarts = on_it(cluster)
    assert restarts
    host.off()
    assert "shut off" in layer("libvirt")
    host("mv", ROOT, f"{ROOT}.kept")
    try:
        # Firmware without a system to boot waits for ever, as the hung kernel does: on, silent and idle.
        host("qemu-img", "create", "-q", "-f", "qcow2", ROOT, "1G")
        host("chown", "libvirt-qemu:kvm", ROOT)
        host("systemctl", "start", "q8s-guest-watch")
        first = eventually(lambda: host.resets()[len(before) :], seconds=90)
        assert first[0].startswith(f"{NODE} has not answered on its link since it was powered on")
        # The next time it waits twice as long: a system that is slow where nobody expected it comes up in the end.
        time.sleep(HANGS_SECONDS * 1.5)
        assert len(host.resets()) == len(before) + 1
        eventually(lambda: len(host.resets()) == len(before) + 2, seconds=60)
    finally:
        host.off()
        host("mv", f"{ROOT}.kept", ROOT)
        host("systemctl", "start", "q8s-guest-watch")
    eventually(lambda: host("virsh", "-q", "domstate", "guest").strip() == "running", seconds=60)
    layer("guest")
    eventually(lambda: bool(layer("")), seconds=400)

    # A node is Ready before what ran on it is told to have started again; the next test counts restarts.
    # What is somebody's who tolerates five minutes without its node may run elsewhere by then.
    def started_again() -> bool:
        now = on_it(cluster)
        stayed = restarts.keys() & {pod["metadata"]["uid"] for pod in cluster.kubectl.get("pods", "-A")["items"]}
        return bool(stayed) and all(now.get(uid, -1) > restarts[uid] for uid in stayed)

    eventually(started_again, seconds=180)
    assert len(host.resets()) == len(before) + 2, "a guest that booted was reset"
    assert host.told(": powered on")[len(powered_on) :] == [f"{NODE} is off (shut off (destroyed)): powered on"] * 2


@pytest.mark.full
def test_a_guest_on_a_full_disk_goes_on_when_there_is_room(cluster: Cluster, host: Host) -> None:
    """QEMU pauses a guest that writes where its host has no room left, and its host resumes it later."""
    before, filler = on_it(cluster), "/var/lib/libvirt/q8s/filler"
    boot = cluster.nodes()[NODE]["status"]["nodeInfo"]["bootID"]
    free = int(host("df", "--output=avail", "--block-size=1M", str(ROOT.parent)).split()[-1])
    host("fallocate", "--length", f"{free - 100}MiB", filler)
    try:
        # More than is left; what writes it goes on in the guest, and sees no error.
        cluster.guest(NODE, "nohup dd if=/dev/urandom of=/var/tmp/large bs=1M count=400 conv=fsync 2>/var/tmp/dd &")
        eventually(lambda: host("virsh", "domstate", "guest").strip() == "paused", seconds=240)
        eventually(lambda: any("the disk of its host is full" in line for line in host.told("")), seconds=60)
    finally:
        host("rm", filler)
    eventually(lambda: host("virsh", "domstate", "guest").strip() == "running", seconds=60)
    eventually(lambda: cluster.kubectl.ready()[NODE] == "True", seconds=180)
    eventually(lambda: "400+0 records out" in cluster.guest(NODE, "cat /var/tmp/dd"), seconds=240)
    cluster.guest(NODE, "rm /var/tmp/large /var/tmp/dd")
    assert cluster.nodes()[NODE]["status"]["nodeInfo"]["bootID"] == boot
    assert before.items() <= on_it(cluster).items(), "a pod was restarted or is gone"
