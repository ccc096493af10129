"""How fast an emulated worker becomes a node, next to a bare boot of its image on its host; and what it costs idle.

Runs inside the lab's namespace: ``python -m lab enter python -m lab.bench``. For each architecture it makes a cluster
of one control plane and one worker, so that nothing else is booting. Ratios are of one run on one machine; seconds
are that machine's own.
"""

from __future__ import annotations

import itertools
import re
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pulumi import automation
from pulumi.automation.events import EngineEvent
from rich.console import Console
from rich.table import Table

from lab import layout
from lab.command import run
from lab.demo import description
from lab.emulator import Emulator, Trace
from lab.hosts.host import all_hosts
from lab.kubectl import Kubectl
from lab.stack import open_stack

STACK = "lab-bench"
REBUILT = ("host", "guest", "node")
"""Steps of a worker beside its instance: made anew, they show what a host with its caches takes."""
JOIN_TARGET, HOST_TARGET = 1.3, 2.0
_BARE_BOOT_SECONDS = 900
# What a node does once, when it is new: pull and start the pods of its DaemonSets.
_SETTLE_SECONDS = 60
IDLE_SECONDS, IDLE_TARGET = 300, 0.15

console = Console(highlight=False)


@dataclass(frozen=True)
class Boot:
    """One worker's seconds.

    Attributes:
        bare: power-on to SSH login of the same image and domain, with nothing of Q8S in the seed.
        cpu: QEMU's CPU seconds by the end of that bare boot, until the node had joined, and until it was Ready.
        guest: power-on to node Ready.
        host: from the host answering SSH, its caches warm, to node Ready.
        phases: where the guest's time went, as it printed it on its console.
        idle: host cores that the Ready worker takes.
        resident: memory that its emulator occupies, in MiB.
    """

    bare: float
    cpu: tuple[float, float, float]
    guest: float
    host: float
    phases: dict[str, float]
    idle: float
    resident: float


class Host:
    """A worker's host, over SSH with a key that the stack lets in."""

    def __init__(self, address: str, key: Path) -> None:
        options = ["BatchMode=yes", "StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={key}.known_hosts"]
        self._ssh = ["ssh", "-q", "-i", str(key), *(f"-o{option}" for option in options), f"debian@{address}"]

    def run(self, command: str, *, text: str = "", limit: float = 120) -> str:
        """What a command prints, run as root within so many seconds."""
        return run(*self._ssh, f"sudo {command}", stdin=text, limit=limit).stdout

    def powered_on(self, node: str) -> datetime:
        """When libvirt last started the node's guest."""
        line = self.run(f"grep ': starting up libvirt' /var/log/libvirt/qemu/{node}.log").splitlines()[-1]
        return datetime.strptime(line.split(": ")[0], "%Y-%m-%d %H:%M:%S.%f%z")

    def phases(self) -> dict[str, float]:
        """Uptime in seconds at each step that the guest noted on its console, in order."""
        said = re.findall(r"([0-9.]+) q8s: (\w+)", self.run("cat /var/log/q8s/console.log"))
        return {name: float(uptime) for uptime, name in said}


def measure(worker: str, config: dict[str, Any], key: Path) -> Boot:
    """Make the cluster of one worker, make the worker anew on its warm host, and boot its image bare."""
    stack = open_stack(STACK, config)
    stack.up()
    began: dict[str, float] = {}

    def note(event: EngineEvent) -> None:
        if event.resource_pre_event:
            step = event.resource_pre_event.metadata
            if automation.OpType(step.op) in {automation.OpType.CREATE_REPLACEMENT, automation.OpType.CREATE}:
                began.setdefault(step.urn.split("::")[-1], datetime.now(UTC).timestamp())

    deployed = stack.export_stack().deployment or {}
    urns = [it["urn"] for it in deployed.get("resources", [])]
    replaced = [urn for urn in urns if urn.split("::")[-1] in {f"{worker}-{step}" for step in REBUILT}]
    server = next(each.uuid for each in all_hosts(layout.INSTANCES) if each.hostname == worker)
    with Trace(server) as trace:
        stack.up(replace=replaced, on_event=note)
    node = Kubectl.of(stack, key.with_name("kubeconfig")).get("node", worker)
    joined, conditions = datetime.fromisoformat(node["metadata"]["creationTimestamp"]), node["status"]["conditions"]
    ready = next(datetime.fromisoformat(it["lastTransitionTime"]) for it in conditions if it["type"] == "Ready")
    address = next(node["address"] for node in stack.outputs()["nodes"].value if node["name"] == worker)
    host = Host(address, key)
    guest = (ready - host.powered_on(worker)).total_seconds()
    warm = ready.timestamp() - began[f"{worker}-host"]
    phases = host.phases()
    emulator = Emulator.of(server)
    time.sleep(_SETTLE_SECONDS)
    idle, resident = emulator.load(IDLE_SECONDS), emulator.resident_mib()
    program = Path(__file__).with_name("bare_boot.py").read_text()
    bare, cpu = map(float, host.run(f"python3 - {worker}", text=program, limit=_BARE_BOOT_SECONDS).split())
    return Boot(bare, (cpu, trace.until(joined), trace.until(ready)), guest, warm, phases, idle, resident)


def dominant(boot: Boot) -> str:
    """The guest's phases, by length."""
    marks = [("", 0.0), *boot.phases.items()]
    lengths = {
        "boot to payload" if not before else f"{before} to {after}": until - since
        for (before, since), (after, until) in itertools.pairwise(marks)
    }
    lengths["firmware, joined to Ready"] = boot.guest - marks[-1][1]
    return ", ".join(f"{name} {seconds:.0f}" for name, seconds in sorted(lengths.items(), key=lambda it: -it[1]))


def main() -> None:
    """Print the table."""
    table = Table(
        "worker", "bare boot", "power-on to Ready", "ratio", "host to Ready", "ratio",
        "CPU s bare, joined, Ready", "ratio", "idle, host cores", "MiB", "seconds by phase",
    )  # fmt: skip
    last: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder, "key")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, limit=60)
        try:
            for kind in ("x86-small", "arm-small"):
                last = description("dev", name="bench")
                cluster = last["q8s:cluster"]
                cluster["access"]["sshPublicKeys"] = [key.with_suffix(".pub").read_text().strip()]
                cluster["workers"] = {kind: 1}
                console.print(f"... a cluster with one {kind}")
                boot = measure(f"bench-{kind}-0", last, key)
                table.add_row(
                    kind,
                    f"{boot.bare:.0f} s",
                    f"{boot.guest:.0f} s",
                    f"{boot.guest / boot.bare:.2f}",
                    f"{boot.host:.0f} s",
                    f"{boot.host / boot.bare:.2f}",
                    ", ".join(f"{seconds:.0f}" for seconds in boot.cpu),
                    f"{boot.cpu[-1] / boot.cpu[0]:.2f}",
                    f"{boot.idle:.2f}",
                    f"{boot.resident:.0f}",
                    dominant(boot),
                )
        finally:
            if last:
                open_stack(STACK, last).destroy(remove=True)
    console.print(table)
    console.print(
        f"targets: {JOIN_TARGET} for power-on to Ready, {HOST_TARGET} for a host with its caches, {IDLE_TARGET} idle"
    )


if __name__ == "__main__":
    main()
