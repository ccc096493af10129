"""The main job in the lab: `pulumi up` of a cluster of emulated nodes, a pod on each architecture, and how to go on.

Runs inside the lab's namespace: ``python -m lab enter python -m lab.demo up``.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
import yaml
from pulumi import automation
from pulumi.automation.events import EngineEvent
from rich.console import Console
from rich.table import Table

from lab import layout
from lab.artifact import REPOSITORY, BuildError
from lab.cli import PASS_ON
from lab.command import LabError
from lab.consoles import Consoles
from lab.kubectl import Kubectl, KubectlError
from lab.mirrors.facts import facts
from lab.site import TRIMMED, merged
from lab.stack import open_stack

STACK = "lab-demo"
KUBECONFIG = layout.STATE / "demo.kubeconfig"
POD_TIMEOUT_SECONDS = 300

console = Console(highlight=False)
cli = typer.Typer(add_completion=False, no_args_is_help=True)


@dataclass
class Times:
    """How long each resource took, from the engine's events."""

    started: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, event: EngineEvent) -> None:
        """Take note of an event; anything but the start and end of a step is ignored."""
        if event.resource_pre_event:
            self.started[event.resource_pre_event.metadata.urn] = time.monotonic()
        elif event.res_outputs_event:
            urn = event.res_outputs_event.metadata.urn
            if urn in self.started and event.res_outputs_event.metadata.op != "same":
                self.seconds[urn] = time.monotonic() - self.started[urn]

    def table(self, rows: int = 15) -> Table:
        """The slowest steps."""
        table = Table("step", "seconds", title="Where the time went (steps run side by side)")
        for urn, seconds in sorted(self.seconds.items(), key=lambda item: -item[1])[:rows]:
            kind, name = urn.split("::")[-2:]
            kind = kind.split("$")[-1]
            if not kind.startswith(("q8s:", "pulumi:pulumi:")):
                table.add_row(name, f"{seconds:.1f}")
        return table


def description(cluster: str, *, name: str = "demo", guests: Mapping[str, str] = TRIMMED) -> dict[str, Any]:
    """The configuration of a shipped stack, moved to the lab and named; with these guest images, by architecture."""
    shipped = yaml.safe_load((REPOSITORY / f"Pulumi.{cluster}.yaml").read_text())["config"]
    return {"q8s:cluster": merged({**shipped["q8s:cluster"], "name": name}, facts(), guests)}


def show(line: str) -> None:
    """Print a line as it is; Pulumi's ticks, which say only that time passes, are left out."""
    if not line.startswith(("@ updating", "@ destroying")):
        console.print(line, markup=False, soft_wrap=True)


def nodes_table(nodes: Iterable[Mapping[str, Any]]) -> Table:
    """The nodes, as narrow as a terminal of 80 columns."""
    table = Table("node", "Ready", "type", "machine", "address", title="Nodes")
    for node in nodes:
        status = node["status"]
        table.add_row(
            node["metadata"]["name"],
            next(each["status"] for each in status["conditions"] if each["type"] == "Ready"),
            _label(node, "q8s.io/node-type") or "control plane",
            _label(node, "kubernetes.io/arch"),
            next(each["address"] for each in status["addresses"] if each["type"] == "InternalIP"),
        )
    return table


def _label(node: Mapping[str, Any], name: str) -> str:
    return str(node["metadata"].get("labels", {}).get(name, ""))


def run_pod(kubectl: Kubectl, architecture: str) -> str:
    """Run a pod on a worker of an architecture (Go's name) and return what it says of its machine."""
    name = f"demo-{architecture}"
    kubectl("delete", "pod", name, "--ignore-not-found", "--wait")
    kubectl(
        "run", name, "--image=docker.io/library/busybox:1.36", "--restart=Never",
        "--overrides", json.dumps({"spec": {"nodeSelector": {"kubernetes.io/arch": architecture}}}),
        "--command", "--", "sh", "-c", "uname -nm",
    )  # fmt: skip
    kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", f"--timeout={POD_TIMEOUT_SECONDS}s")
    says = kubectl("logs", name).strip()
    kubectl("delete", "pod", name, "--wait=false")
    return says


@cli.command()
def up(
    cluster: Annotated[str, typer.Option(help="Which shipped stack: dev, prototype or mixed.")] = "prototype",
) -> None:
    """Make the cluster, show its nodes, run a pod on each architecture."""
    times = Times()
    stack = open_stack(STACK, description(cluster))
    started = time.monotonic()
    with Consoles(layout.INSTANCES, show):
        result = stack.up(on_output=show, on_event=times, continue_on_error=True)
    took = time.monotonic() - started
    kubectl = Kubectl.of(stack, KUBECONFIG)
    console.print(f"\npulumi up took {took:.0f} s: {dict(result.summary.resource_changes or {})}")
    nodes = kubectl.get("nodes")["items"]
    console.print(nodes_table(nodes))
    for architecture in sorted(
        {_label(node, "kubernetes.io/arch") for node in nodes if _label(node, "q8s.io/emulated")}
    ):
        console.print(f"a pod on {architecture}: {run_pod(kubectl, architecture)}")
    if times.seconds:
        console.print(times.table())
    console.print(
        'use it:      make kubectl ARGS="get pods -A"\n'
        f"change it:   edit the shipped Pulumi.{cluster}.yaml, then make demo again\n"
        "destroy it:  make demo-down"
    )


@cli.command()
def down() -> None:
    """Destroy the cluster and its stack, whichever checkout has made them."""
    described = REPOSITORY / f"Pulumi.{STACK}.yaml"
    config = yaml.safe_load(described.read_text())["config"] if described.exists() else description("dev")
    # One that is not there is made to be destroyed: it costs nothing, and leaves nothing.
    open_stack(STACK, config).destroy(on_output=show, remove=True)
    KUBECONFIG.unlink(missing_ok=True)


@cli.command("kubectl", context_settings=PASS_ON)
def kubectl_command(context: typer.Context) -> None:
    """Run kubectl on the cluster."""
    os.execve(layout.TOOLS / "kubectl", ["kubectl", *context.args], Kubectl(KUBECONFIG).environment)


def main() -> int:
    """Run a command, and tell what went wrong without a traceback; that goes to a log.

    Returns:
        The exit code: 1 where it failed.
    """
    try:
        cli()
    except automation.CommandError as error:
        # Pulumi's standard output was printed while it ran.
        told = str(error).rpartition("stderr:")[2].strip()
        console.print(
            f"error: pulumi failed. Mend the cause, then run the same again: it resumes.\n{told}", markup=False
        )
        return 1
    except (KubectlError, LabError, BuildError) as error:
        console.print(f"error: {error}", markup=False)
        return 1
    except Exception as error:
        log = layout.LOGS / "demo.log"
        log.write_text(traceback.format_exc())
        console.print(f"error: {type(error).__name__}: {error}\nwhere: {log}", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
