"""The main job in the lab: `pulumi up` of a cluster of emulated nodes, a pod on each architecture, and how to go on.

Runs inside the lab's namespace: ``python -m lab enter python -m lab.demo up``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
import yaml
from pulumi import automation
from pulumi.automation.events import EngineEvent
from rich.console import Console
from rich.table import Table

from lab import layout
from lab.artifact import REPOSITORY
from lab.mirrors.facts import facts
from lab.site import merged
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


def description(cluster: str, *, name: str = "demo") -> dict[str, Any]:
    """The configuration of a shipped stack, moved to the lab and named."""
    shipped = yaml.safe_load((REPOSITORY / f"Pulumi.{cluster}.yaml").read_text())["config"]
    return {"q8s:cluster": merged({**shipped["q8s:cluster"], "name": name}, facts())}


def kubectl(*words: str, check: bool = True) -> str:
    """Run kubectl on the demo's cluster and return what it prints."""
    done = subprocess.run(
        [layout.TOOLS / "kubectl", *words],
        env={**os.environ, "KUBECONFIG": str(KUBECONFIG)},
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise RuntimeError(f"kubectl {' '.join(words)} failed:\n{done.stderr}")
    return done.stdout


def save_kubeconfig(stack: automation.Stack) -> None:
    """Keep the administrator's kubeconfig where only root reads it."""
    KUBECONFIG.touch(mode=0o600)
    KUBECONFIG.write_text(str(stack.outputs()["kubeconfig"].value))


def run_pod(architecture: str) -> str:
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
    result = stack.up(on_output=lambda line: console.print(line, markup=False, soft_wrap=True), on_event=times)
    took = time.monotonic() - started
    save_kubeconfig(stack)
    console.print(f"\npulumi up took {took:.0f} s: {dict(result.summary.resource_changes or {})}")
    console.print(kubectl("get", "nodes", "-o", "wide", "-L", "q8s.io/node-type"), markup=False)
    for architecture in sorted(set(_architectures())):
        console.print(f"a pod on {architecture}: {run_pod(architecture)}")
    if times.seconds:
        console.print(times.table())
    console.print(
        'use it:      make kubectl ARGS="get pods -A"\n'
        f"change it:   edit the shipped Pulumi.{cluster}.yaml, then make demo again\n"
        "destroy it:  make demo-down"
    )


@cli.command()
def down() -> None:
    """Destroy the cluster and its stack."""
    if not (REPOSITORY / f"Pulumi.{STACK}.yaml").exists():
        return
    config = yaml.safe_load((REPOSITORY / f"Pulumi.{STACK}.yaml").read_text())["config"]
    stack = open_stack(STACK, config)
    stack.destroy(on_output=lambda line: console.print(line, markup=False, soft_wrap=True), remove=True)
    KUBECONFIG.unlink(missing_ok=True)


@cli.command("kubectl", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def kubectl_command(context: typer.Context) -> None:
    """Run kubectl on the cluster."""
    os.execve(layout.TOOLS / "kubectl", ["kubectl", *context.args], {**os.environ, "KUBECONFIG": str(KUBECONFIG)})


def _architectures() -> Iterator[str]:
    yield from kubectl(
        "get", "nodes", "-l", "q8s.io/emulated=true", "-o", "jsonpath={.items[*].status.nodeInfo.architecture}"
    ).split()


if __name__ == "__main__":
    sys.exit(cli())
