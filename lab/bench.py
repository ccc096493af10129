"""How fast an emulated worker becomes a node, next to a bare boot of its image on its host; and what it costs idle.

Runs inside the lab's namespace: ``python -m lab enter python -m lab.bench``. For each architecture it makes a cluster
of one control plane and one worker, so that nothing else is booting. The worker is made anew in two ways, each several
times: it boots, as the first one of its type, and it goes on from the state that was kept then. What is printed of
each is the run of median length. Ratios are of one run on one machine; seconds are that machine's own.
"""

from __future__ import annotations

import itertools
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
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
from lab.site import AS_PUBLISHED, TRIMMED
from lab.stack import open_stack
from q8s_infra import versions

STACK = "lab-bench"
REBUILT = ("host", "guest", "node")
"""Steps of a worker beside its instance: made anew, they show what a host with its caches takes."""
COLD_TARGET, RESUMED_TARGET, HOST_TARGET = 1.2, 0.5, 2.0
_BARE_BOOT_SECONDS = 900
# What a node does once, when it is new: pull and start the pods of its DaemonSets.
_SETTLE_SECONDS = 60
_POD, _POD_SECONDS = "bench", 120
IDLE_TARGET = 0.15

console = Console(highlight=False)
T = TypeVar("T")


@dataclass(frozen=True)
class Made:
    """One making of a worker, in seconds.

    Attributes:
        cpu: QEMU's CPU seconds until the node had joined, and until it was Ready.
        guest: power-on to node Ready.
        pod: power-on to a pod that runs there; it was waiting for the node, and its image is in the payload.
        host: from the host answering SSH, its caches warm, to node Ready.
        phases: where the guest's time went, as it printed it on its console.
    """

    cpu: tuple[float, float]
    guest: float
    pod: float
    host: float
    phases: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """One worker.

    Attributes:
        bare: power-on to SSH login of the same image and domain, with nothing of Q8S in the seed, in seconds.
        cpu: QEMU's CPU seconds of that.
        boots: as the first one of its type.
        goes_on: from the state of that one.
        idle: host cores that the Ready worker takes.
        resident: memory that its emulator occupies, in MiB.
    """

    bare: float
    cpu: float
    boots: Made
    goes_on: Made
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

    def powered_on(self, since: float) -> datetime:
        """When libvirt first started the guest after a moment, in seconds since 1970."""
        lines = self.run("grep ': starting up libvirt' /var/log/libvirt/qemu/guest.log").splitlines()
        starts = (datetime.strptime(line.split(": ")[0], "%Y-%m-%d %H:%M:%S.%f%z") for line in lines)
        return min(start for start in starts if start.timestamp() >= since)

    def phases(self) -> dict[str, float]:
        """Uptime in seconds at each step that the guest noted on its console, in order."""
        said = re.findall(r"([0-9.]+) q8s: (\w+)", self.run("cat /var/log/q8s/console.log"))
        return {name: float(uptime) for uptime, name in said}


def made_anew(stack: automation.Stack, worker: str, key: Path) -> Made:
    """Make a worker anew on its warm host."""
    began: dict[str, float] = {}

    def note(event: EngineEvent) -> None:
        if event.resource_pre_event:
            step = event.resource_pre_event.metadata
            if automation.OpType(step.op) in {automation.OpType.CREATE_REPLACEMENT, automation.OpType.CREATE}:
                began.setdefault(step.urn.split("::")[-1], datetime.now(UTC).timestamp())

    deployed = stack.export_stack().deployment or {}
    urns = [it["urn"] for it in deployed.get("resources", [])]
    replaced = [urn for urn in urns if urn.split("::")[-1] in {f"{worker}-{step}" for step in REBUILT}]
    with Trace(server_of(worker)) as trace:
        stack.up(replace=replaced, on_event=note)
    kubectl = Kubectl.of(stack, key.with_name("kubeconfig"))
    kubectl("wait", f"deployment/{_POD}", "--for=condition=Available", f"--timeout={_POD_SECONDS}s")
    node = kubectl.get("node", worker)
    joined, conditions = datetime.fromisoformat(node["metadata"]["creationTimestamp"]), node["status"]["conditions"]
    ready = next(datetime.fromisoformat(it["lastTransitionTime"]) for it in conditions if it["type"] == "Ready")
    host = host_of(stack, worker, key)
    powered_on = host.powered_on(began[f"{worker}-guest"])
    return Made(
        (trace.until(joined), trace.until(ready)),
        (ready - powered_on).total_seconds(),
        (_pod_runs_since(kubectl) - powered_on).total_seconds(),
        ready.timestamp() - began[f"{worker}-host"],
        host.phases(),
    )


def _pod_runs_since(kubectl: Kubectl) -> datetime:
    """Since when the pod runs that goes where there is a worker."""
    found = (each for pod in kubectl.get("pods", f"--selector=app={_POD}")["items"] for each in _containers(pod))
    return max(datetime.fromisoformat(each["state"]["running"]["startedAt"]) for each in found)


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of a pod that run."""
    return [each for each in pod["status"].get("containerStatuses", ()) if "running" in each["state"]]


def measure(worker: str, config: dict[str, Any], key: Path, *, times: int, idle_seconds: int) -> Measured:
    """Make the cluster of one worker, make the worker anew in both ways, watch it idle, and boot its image bare.

    Args:
        worker: its name.
        config: the cluster's.
        key: of who may log in at hosts.
        times: how often for each way, and the bare boot; odd, so that the median is one of them.
        idle_seconds: how long it is watched.
    """
    stack = open_stack(STACK, config)
    stack.up()
    first = next(node["name"] for node in stack.outputs()["nodes"].value if node["role"] == "control plane")
    kubectl = Kubectl.of(stack, key.with_name("kubeconfig"))
    # The control plane is the same for all types.
    kubectl("delete", "deployment", _POD, "--ignore-not-found", "--wait")
    kubectl("create", "deployment", _POD, f"--image=registry.k8s.io/pause:{versions.PAUSE}")
    boots: list[Made] = []
    for _ in range(times):
        host_of(stack, first, key).run("sh -c 'rm -rf /var/lib/q8s-states/*/'")
        boots.append(made_anew(stack, worker, key))
    goes_on = [made_anew(stack, worker, key) for _ in range(times)]
    emulator = Emulator.of(server_of(worker))
    time.sleep(_SETTLE_SECONDS)
    idle, resident = emulator.load(idle_seconds), emulator.resident_mib()
    program = Path(__file__).with_name("bare_boot.py").read_text()
    host = host_of(stack, worker, key)
    said = [host.run("python3 -", text=program, limit=_BARE_BOOT_SECONDS).split() for _ in range(times)]
    bare, cpu = _median([(float(seconds), float(cpu)) for seconds, cpu in said], lambda each: each[0])
    booted, went_on = (_median(made, lambda each: each.guest) for made in (boots, goes_on))
    return Measured(bare, cpu, booted, went_on, idle, resident)


def _median(found: list[T], by: Callable[[T], float]) -> T:
    """The one in the middle of an odd number."""
    return sorted(found, key=by)[len(found) // 2]


def server_of(node: str) -> str:
    """The id of a node's host in Nova."""
    return next(each.uuid for each in all_hosts(layout.INSTANCES) if each.hostname == node)


def host_of(stack: automation.Stack, name: str, key: Path) -> Host:
    """The host of a node."""
    return Host(next(node["address"] for node in stack.outputs()["nodes"].value if node["name"] == name), key)


def dominant(boot: Made) -> str:
    """The guest's phases, by length."""
    marks = [("", 0.0), *boot.phases.items()]
    lengths = {
        "boot to payload" if not before else f"{before} to {after}": until - since
        for (before, since), (after, until) in itertools.pairwise(marks)
    }
    lengths["firmware, joined to Ready"] = boot.guest - marks[-1][1]
    return ", ".join(f"{name} {seconds:.0f}" for name, seconds in sorted(lengths.items(), key=lambda it: -it[1]))


def table(kind: str, found: Measured) -> Table:
    """What was measured of a type; fits 80 columns."""
    shown = Table("", "bare boot", "boots", "from a state", title=f"{kind}, 1 = its bare boot")
    ways = (found.boots, found.goes_on)

    def add(what: str, bare: float | None, *made: float) -> None:
        to_bare = ("",) * len(made) if bare is None else tuple(f" ({each / bare:.2f})" for each in made)
        cells = (f"{each:.0f}{ratio}" for each, ratio in zip(made, to_bare, strict=True))
        shown.add_row(what, "" if bare is None else f"{bare:.0f}", *cells)

    add("power-on to SSH, to Ready, s", found.bare, *(each.guest for each in ways))
    add("to a pod that runs, s", None, *(each.pod for each in ways))
    shown.add_row("host's SSH to Ready, s", "", *(f"{each.host:.0f} ({each.host / found.bare:.2f})" for each in ways))
    add("QEMU's CPU s until joined", None, *(each.cpu[0] for each in ways))
    add("QEMU's CPU s until Ready", found.cpu, *(each.cpu[1] for each in ways))
    return shown


def main(
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="[TYPE]...", help="Which types of Pulumi.dev.yaml.")
    ] = None,
    times: Annotated[int, typer.Option(help="How often each is measured; an odd number.")] = 3,
    idle: Annotated[int, typer.Option(help="Seconds that an idle worker is watched.")] = 300,
    published: Annotated[
        bool, typer.Option(help="x86_64 guests of an image as a distribution publishes it, not of one that is trimmed.")
    ] = False,
) -> None:
    """Print how fast a worker of each type becomes a node, next to a bare boot, and what it costs idle."""
    if times % 2 == 0:
        raise typer.BadParameter(f"{times} is not odd: there is no median run", param_hint="--times")
    last: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder, "key")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, limit=60)
        try:
            for kind in kinds or ["x86-small", "arm-small"]:
                last = description("dev", name="bench", guests=AS_PUBLISHED if published else TRIMMED)
                cluster = last["q8s:cluster"]
                cluster["access"]["sshPublicKeys"] = [key.with_suffix(".pub").read_text().strip()]
                cluster["workers"] = {kind: 1}
                console.print(f"... a cluster with one {kind}")
                found = measure(f"bench-{kind}-0", last, key, times=times, idle_seconds=idle)
                console.print(table(kind, found))
                console.print(f"idle: {found.idle:.2f} host cores, {found.resident:.0f} MiB")
                console.print(f"seconds of its boot: {dominant(found.boots)}")
        finally:
            if last:
                open_stack(STACK, last).destroy(remove=True)
    console.print(
        f"targets: power-on to Ready {COLD_TARGET}, from a state {RESUMED_TARGET}; "
        f"{HOST_TARGET} for a host with its caches; {IDLE_TARGET} idle"
    )


if __name__ == "__main__":
    typer.run(main)
