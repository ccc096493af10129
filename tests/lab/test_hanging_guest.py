"""A guest that hangs while it boots is reset by its host, and one that is off is powered on."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from openstack.connection import Connection

from tests.lab.conftest import Cluster, inside
from tests.lab.test_cluster import eventually

pytestmark = pytest.mark.timeout(900)

NODE = "test-x86-small-0"
ROOT = Path("/var/lib/libvirt/q8s/guest/root.qcow2")
DROP_IN = Path("/run/systemd/system/q8s-guest-watch.service.d/test.conf")
HANGS_SECONDS = 20


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
        self("virsh", "-q", "destroy", NODE)


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


def test_a_guest_that_idles_and_never_answers_is_reset_and_one_that_boots_is_not(cluster: Cluster, host: Host) -> None:
    before, powered_on = host.resets(), host.told(": powered on")
    host.off()
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
    eventually(lambda: cluster.kubectl.ready()[NODE] != "True", seconds=120)
    eventually(lambda: cluster.kubectl.ready()[NODE] == "True", seconds=400)
    assert len(host.resets()) == len(before) + 2, "a guest that booted was reset"
    assert host.told(": powered on")[len(powered_on) :] == [f"{NODE} is off (shut off (destroyed)): powered on"] * 2
