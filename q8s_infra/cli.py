"""The command line beside Pulumi's own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pulumi import automation
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from q8s_infra import diagnose, fetched, init, snapshot, tunnel
from q8s_infra.bake import BakeError, Builder, bake
from q8s_infra.cloud import FAILURES, OpenStackCloud, connect, failure
from q8s_infra.hosts import HostError, Hosts
from q8s_infra.kept import with_images
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.preflight import Need, check, needs
from q8s_infra.printable import print_line, printable
from q8s_infra.prompts import Terminal
from q8s_infra.remote import Step
from q8s_infra.render import kubeadm
from q8s_infra.spec import ClusterSpec, Mistake, SpecErrors, load, read
from q8s_infra.spec.reference import reference
from q8s_infra.ssh import NoState, StackKeys, Way, exported, stack_keys
from q8s_infra.strays import known, lost

cli = typer.Typer(no_args_is_help=True, add_completion=False)
console, errors = Console(highlight=False), Console(stderr=True, highlight=False)


@cli.callback()
def _q8s() -> None:
    """Q8S beside Pulumi: look at a cluster without changing it."""


@cli.command("check")
def check_command(
    file: Annotated[
        Path | None, typer.Argument(help="A stack's file, a description, or a prototype's cluster.yaml.")
    ] = None,
    stack: Annotated[str | None, typer.Option(help="A stack of this directory, by name.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no cloud.")] = False,
) -> None:
    """Print the plan (nodes, sizes, totals, quota); exit 1 with all mistakes where there are any."""
    with _explained():
        planned = plan(_spec(file, stack))
        _show(planned, None if offline else connect())


@cli.command("init")
def init_command(
    stack: Annotated[str, typer.Option(help="The new stack's name, and its cluster's.")],
    network: Annotated[str | None, typer.Option(help="The network of all hosts, by name or id.")] = None,
    host_image: Annotated[str | None, typer.Option(help="What hosts boot, Ubuntu or Debian, by name.")] = None,
    control_plane_flavor: Annotated[str | None, typer.Option(help="The flavor of control planes.")] = None,
    worker_flavor: Annotated[str | None, typer.Option(help="The flavor of all workers' hosts.")] = None,
    allowed_cidr: Annotated[
        list[str] | None, typer.Option(help="Who may reach SSH and the API server; can be given more than once.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="The host image's login; by default its distribution's.")] = None,
    subnet: Annotated[str | None, typer.Option(help="The hosts' subnet of the network, by name or id.")] = None,
    zone: Annotated[str | None, typer.Option(help="The availability zone of all hosts.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write q8s:cluster anew where there is a file.")] = False,
) -> None:
    """Ask the cloud what it has, write Pulumi.STACK.yaml, and check it; what several things fit is asked."""
    given = init.Given(
        stack, network, host_image, control_plane_flavor, worker_flavor, allowed_cidr or (), user, subnet, zone
    )
    path = Path(f"Pulumi.{stack}.yaml")
    with _explained():
        kept = init.kept(path, force=force)
        cloud = connect()
        decision = init.decide(given, cloud, _asker())
        init.write(path, init.text(decision, kept), force=force)
    console.print(f"written: {path}", markup=False)
    again = f"python -m q8s_infra check --stack {stack}"
    with _explained(f"change {path} and run: {again}"):
        _show(plan(_spec(None, stack)), cloud)
    console.print(f"next:\n  pulumi stack init {stack}\n  pulumi up --stack {stack}", markup=False)


def _asker() -> Terminal | None:
    return Terminal(console) if sys.stdin.isatty() and sys.stdout.isatty() else None


def _show(planned: ClusterPlan, cloud: OpenStackCloud | None) -> None:
    """Print a plan, and what the cloud says of it where there is one.

    Raises:
        SpecErrors: it does not fit the cloud.
    """
    console.print(_nodes(planned))
    console.print(_totals(planned), markup=False)
    # The table comes before the word on it: where a quota is too small, it says which and by how much.
    if cloud and (quotas := needs(planned, cloud)):
        console.print(_quotas(quotas))
    warnings = (*planned.warnings, *(check(planned, cloud) if cloud else ()))
    for warning in warnings:
        _wrong(f"warning: {warning}")


@cli.command("reference")
def reference_command() -> None:
    """Print the configuration reference, docs/configuration.md."""
    typer.echo(reference(), nl=False)


@cli.command("sources")
def sources_command(
    file: Annotated[
        Path | None, typer.Argument(help="A stack's file, a description, or a prototype's cluster.yaml.")
    ] = None,
    stack: Annotated[str | None, typer.Option(help="A stack of this directory, by name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Print all that a stack fetches, from where, and what it is checked by; asks no cloud."""
    with _explained():
        planned = plan(_spec(file, stack))
    if as_json:
        typer.echo(json.dumps(fetched.document(planned), indent=2))
        return
    for thing in fetched.fetched(planned):
        typer.echo(thing)
    for note in fetched.notes(planned):
        _wrong(f"note: {note}")


@cli.command("diagnose")
def diagnose_command(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NODE]...", help="Which nodes; all if none.")] = None,
    stack: Annotated[str, typer.Option(help="A stack of this directory, by name.")] = "dev",
    output: Annotated[Path | None, typer.Option(help="The archive to write.")] = None,
) -> None:
    """Collect the logs of nodes into an archive, without their secrets; print each node's first broken layer."""
    with _explained():
        planned = plan(_spec(None, stack))
        wanted = _known(names or [node.name for node in planned.nodes], planned)
        state = exported(stack)
        keys = stack_keys(state)
        instances = connect().instances(node.name for node in planned.nodes)
        redacted = diagnose.Redactor(diagnose.stack_values(state, _machines(planned)))
    console.print(f"asking {len(wanted)} node(s)")
    collected = asyncio.run(diagnose.collect(planned, wanted, instances, keys))
    path = output or Path(f"q8s-{planned.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    diagnose.write_archive(path, {name: text for each in collected for name, text in each.documents.items()}, redacted)
    console.print(_findings([each.finding for each in collected], redacted))
    console.print(f"logs: {path}", markup=False, soft_wrap=True)
    if any(each.finding.layer for each in collected):
        raise typer.Exit(2)


@cli.command("snapshot")
def snapshot_command(
    stack: Annotated[str, typer.Option(help="A stack of this directory, by name.")] = "dev",
    output: Annotated[Path | None, typer.Option(help="The file to write.")] = None,
) -> None:
    """Take a snapshot of the cluster: etcd's data and the cluster's keys, sealed for this stack."""
    with _explained():
        planned = plan(_spec(None, stack))
        keys = stack_keys(exported(stack))
        taken = asyncio.run(snapshot.take(planned, _control_planes(planned, connect(), keys)))
        path = output or Path(f"q8s-{planned.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.snapshot")
        snapshot.write(path, taken.sealed(keys.seed))
    console.print(f"snapshot: {path}", markup=False, soft_wrap=True)


@cli.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(help="What `snapshot` has written.", exists=True, dir_okay=False)],
    stack: Annotated[str, typer.Option(help="A stack of this directory, by name.")] = "dev",
) -> None:
    """Make a cluster whose control planes are lost again, from a snapshot; workers and their pods go on."""
    with _explained():
        planned, cloud, state = plan(_spec(None, stack)), connect(), exported(stack)
        keys = stack_keys(state)
        content = snapshot.unsealed(file.read_bytes(), keys.seed)
        there = _control_planes(planned, cloud, keys)
        snapshot.refuse_living(planned, there.instances, content)
        asyncio.run(snapshot.refuse_member(planned, there))
        selected = automation.select_stack(stack, work_dir=".")
        snapshot.make_host(selected, planned, lost(known(state), cloud))
        asyncio.run(snapshot.lay(planned, _control_planes(planned, cloud, keys), content))
        selected.up(on_output=print_line)


@cli.command("renew")
def renew_command(
    stack: Annotated[str, typer.Option(help="A stack of this directory, by name.")] = "dev",
) -> None:
    """Renew the certificates of all control planes, one control plane after the other."""
    with _explained():
        planned = plan(_spec(None, stack))
        hosts = _control_planes(planned, connect(), stack_keys(exported(stack)))
        files = {"kubeadm.yaml": kubeadm.renewal_configuration(planned.spec)}
        for node in planned.control_planes:
            console.print(f"{node.name}: renewing its certificates", markup=False)
            asyncio.run(hosts.run(Step("renew-certificates", node.name, "Kubernetes"), files))
        # The administrator's kubeconfig is a result of the first one's step.
        first = planned.control_planes[0].name
        automation.select_stack(stack, work_dir=".").up(replace=[f"**::{first}-init"], on_output=print_line)


@cli.command("bake")
def bake_command(
    stack: Annotated[str, typer.Option(help="A stack of this directory, by name.")] = "dev",
    name: Annotated[str | None, typer.Option(help="What the image is called; by default CLUSTER-host.")] = None,
) -> None:
    """Make an image of a host that has all that workers need: new ones that boot it install and fetch nothing."""
    with _explained():
        state = exported(stack)
        planned = plan(with_images(_spec(None, stack), known(state)))
        cloud, image = connect(), name or f"{planned.name}-host"
        baked = asyncio.run(
            bake(
                planned,
                deployment=state,
                keys=stack_keys(state),
                cloud=cloud,
                builder=Builder(cloud.connection),
                image=image,
                say=_say,
            )
        )
    for kind, why in baked.without_state.items():
        _wrong(f"note: guests of type {kind} boot, as {why}")
    console.print(f"image: {image} ({baked.id})", markup=False, soft_wrap=True)
    console.print(
        f"for new hosts, in Pulumi.{stack}.yaml:\n  hostImage: {{name: {image}}}", markup=False, soft_wrap=True
    )


@cli.command("tunnel")
def tunnel_command(
    stack: Annotated[str, typer.Option(help="A stack of this directory, by name.")] = "dev",
) -> None:
    """Keep the proxy to the API server behind a bastion, for kubectl and `pulumi refresh`, until Ctrl-C."""
    with _explained():
        access = _spec(None, stack).access
        if (bastion := access.bastion) is None:
            raise SpecErrors([Mistake("access.mode", access.mode, "only bastion has a tunnel: kubectl needs none")])
        usage = (
            f"{bastion.proxy_url} leads through {bastion.host} until Ctrl-C; beside it:\n"
            f"  pulumi stack output kubeconfig --show-secrets --stack {stack} > kubeconfig\n"
            "  kubectl --kubeconfig kubeconfig get nodes"
        )
        with suppress(KeyboardInterrupt):
            asyncio.run(tunnel.keep(bastion, lambda: console.print(usage, markup=False, soft_wrap=True)))


def _say(line: str) -> None:
    """Progress, for who waits."""
    console.print(printable(line), markup=False, soft_wrap=True)


def _wrong(line: str) -> None:
    """What went wrong, or may: clouds and hosts have their word in it."""
    errors.print(printable(line), markup=False, soft_wrap=True)


@contextmanager
def _explained(advice: str = "") -> Iterator[None]:
    """Say what went wrong, and what to do, instead of showing where in the program; exit 1."""
    try:
        yield
    except SpecErrors as mistakes:
        for mistake in mistakes.mistakes:
            _wrong(f"error: {mistake}")
        if advice:
            errors.print(advice, markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    # Before OSError: what comes of HTTP is one, too.
    except FAILURES as error:
        _wrong(f"error: {failure(error)}")
        raise typer.Exit(1) from None
    except (NoState, HostError, BakeError, snapshot.SnapshotError, tunnel.TunnelError, OSError) as error:
        _wrong(f"error: {error}")
        raise typer.Exit(1) from None
    except automation.CommandError:
        errors.print(
            "error: Pulumi has failed, see above; run this once more when the cause is mended",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(1) from None


def _control_planes(planned: ClusterPlan, cloud: OpenStackCloud, keys: StackKeys) -> Hosts:
    instances = cloud.instances(node.name for node in planned.control_planes)
    return Hosts(Way(planned.spec.access, keys, planned.control_planes[0].name, instances), _say)


def _known(names: list[str], planned: ClusterPlan) -> list[str]:
    there = [node.name for node in planned.nodes]
    mistakes = [
        Mistake("NODE", name, f"is no node, there are {', '.join(there)}") for name in names if name not in there
    ]
    if mistakes:
        raise SpecErrors(mistakes)
    return names


def _machines(planned: ClusterPlan) -> list[str]:
    """Whose SSH host keys are derived from the stack's seed; the last one is that of `bake`."""
    hosts = [f"host/{name}" for name in (*(node.name for node in planned.nodes), f"{planned.name}-bake")]
    return [*hosts, *(f"guest/{worker.name}" for worker in planned.workers)]


def _findings(findings: list[diagnose.Finding], redacted: diagnose.Redactor) -> Table:
    table = Table(Column("node", overflow="fold"), "first broken layer", Column("evidence", overflow="fold"))
    for finding in findings:
        table.add_row(escape(printable(finding.node)), finding.layer or "none", escape(redacted(finding.evidence)))
    return table


def _spec(file: Path | None, stack: str | None) -> ClusterSpec:
    if (file is None) == (stack is None):
        raise SpecErrors([Mistake("FILE or --stack", None, "name one of them")])
    path = file or Path(f"Pulumi.{stack}.yaml")
    config: dict[str, Any] = read(path)
    return load(config, stack or path.stem.removeprefix("Pulumi."), base=path.parent)


def _nodes(planned: ClusterPlan) -> Table:
    # A name in pieces is no name: narrow terminals break the other columns.
    table = Table(
        Column("node", no_wrap=True, overflow="fold"),
        Column("arch", overflow="fold"),
        Column("CPU model", overflow="fold"),
        "CPUs",
        "memory",
        "disk",
        Column("flavor", overflow="fold"),
        title=f"cluster {planned.name}",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for control_plane in planned.control_planes:
        table.add_row(control_plane.name, "host's", "", "", "", "", escape(control_plane.flavor))
    for worker in planned.workers:
        kind = worker.node_type
        table.add_row(
            worker.name,
            worker.architecture.name,
            kind.cpu_model,
            str(kind.cpus),
            str(kind.memory),
            str(kind.disk),
            escape(kind.flavor),
        )
    return table


def _totals(planned: ClusterPlan) -> str:
    counts = Counter(worker.architecture.name for worker in planned.workers)
    emulated = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
    cpus = sum(worker.node_type.cpus for worker in planned.workers)
    memory = sum(worker.node_type.memory.gib for worker in planned.workers)
    return (
        f"{len(planned.control_planes)} control plane(s), {len(planned.workers)} worker(s) ({emulated}): "
        f"{cpus} emulated CPUs, {memory:g} GiB of emulated memory"
    )


def _quotas(quotas: tuple[Need, ...]) -> Table:
    table = Table("quota", "used", "needed", "limit", "")
    for need in quotas:
        limit = "none" if need.quota.limit < 0 else str(need.quota.limit)
        table.add_row(need.name, str(need.quota.used), str(need.needed), limit, "" if need.fits else "too little")
    return table
