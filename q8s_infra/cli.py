"""The command line beside Pulumi's own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pulumi import automation
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from q8s_infra import diagnose, fetched, init, snapshot, tunnel
from q8s_infra.bake import BakeError, Builder, bake
from q8s_infra.cloud import OpenStackCloud, connect
from q8s_infra.connection import FAILURES, failure
from q8s_infra.drift import missing
from q8s_infra.forget import StillThere, forgotten
from q8s_infra.hosts import HostError, Hosts
from q8s_infra.in_use import EXIT_CODE, how_to_free, in_use
from q8s_infra.kept import with_running_values
from q8s_infra.other_changes import OtherChanges, refuse_other_changes
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.preflight import Need, check, needs
from q8s_infra.printable import print_line, printable
from q8s_infra.prompts import Terminal
from q8s_infra.remote import Step
from q8s_infra.render import kubeadm
from q8s_infra.rollout import replaced_hosts, rollout
from q8s_infra.spec import ClusterSpec, Mistake, SpecErrors, load, read
from q8s_infra.spec.reference import reference
from q8s_infra.ssh import NoState, StackKeys, Way, exported, stack_keys
from q8s_infra.stack import ours
from q8s_infra.stacks import SelectedStack, WrongCloud, selected, settings_of
from q8s_infra.state.model import INSTANCE, StackState
from q8s_infra.tested import versions_page

_STACK: Final = "A stack of this directory, as Pulumi takes it; by default the one that Pulumi has selected."
cli = typer.Typer(no_args_is_help=True, add_completion=False)
_EMPTY: Final = StackState()
_REFUSALS: Final = (
    *(NoState, HostError, BakeError, StillThere, WrongCloud, OtherChanges),
    *(snapshot.SnapshotError, tunnel.TunnelError),
)
"""Errors whose text is all that a user needs."""
console, errors = Console(highlight=False), Console(stderr=True, highlight=False)


@cli.callback()
def _q8s() -> None:
    """Q8S beside Pulumi: look at a cluster without changing it."""


@cli.command("check")
def check_command(
    file: Annotated[
        Path | None, typer.Argument(help="A stack's file, a description, or a prototype's cluster.yaml.")
    ] = None,
    stack: Annotated[str | None, typer.Option(help=_STACK)] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no cloud.")] = False,
) -> None:
    """Print the plan (nodes, sizes, totals, quota); exit 1 with all mistakes where there are any."""
    with _explained():
        chosen = None if file else selected(stack)
        spec = _spec(file, chosen)
        if offline:
            _show(plan(spec), None)
            return
        deployment, cloud = _state_of(chosen) if chosen else (None, connect(settings_of(file) if file else {}))
        state = StackState.from_deployment(deployment)
        _show(plan(with_running_values(spec, state)), cloud, state)


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
    chosen = selected(stack)
    path = chosen.file
    with _explained():
        kept = init.kept(path, force=force)
        cloud = chosen.connect()
        decision = init.decide(given, cloud, _asker())
        init.write(path, init.text(decision, kept), force=force)
    console.print(f"written: {path}", markup=False)
    again = f"python -m q8s_infra check --stack {stack}"
    with _explained(f"change {path} and run: {again}"):
        _show(plan(_spec(None, chosen)), cloud)
    console.print(f"next:\n  pulumi stack init {stack}\n  pulumi up --stack {stack}", markup=False)


def _asker() -> Terminal | None:
    return Terminal(console) if sys.stdin.isatty() and sys.stdout.isatty() else None


def _show(planned: ClusterPlan, cloud: OpenStackCloud | None, state: StackState = _EMPTY) -> None:
    """Print a plan, and what the cloud says of it where there is one.

    Raises:
        SpecErrors: it does not fit the cloud.
    """
    console.print(_nodes(planned))
    console.print(_totals(planned), markup=False)
    # The table comes before the word on it: where a quota is too small, it says which and by how much.
    replaced, made = replaced_hosts(planned, state), ours(planned, state)
    if cloud and (quotas := needs(planned, cloud, replaced, made)):
        console.print(_quotas(quotas))
    warnings = (*planned.warnings, *(check(planned, cloud, replaced, made) if cloud else ()))
    for warning in warnings:
        _wrong(f"warning: {warning}")


@cli.command("reference")
def reference_command(
    of_versions: Annotated[
        bool, typer.Option("--versions", help="Print the versions that are supported and tested, docs/versions.md.")
    ] = False,
) -> None:
    """Print the configuration reference, docs/configuration.md."""
    typer.echo(versions_page() if of_versions else reference(), nl=False)


@cli.command("sources")
def sources_command(
    file: Annotated[
        Path | None, typer.Argument(help="A stack's file, a description, or a prototype's cluster.yaml.")
    ] = None,
    stack: Annotated[str | None, typer.Option(help=_STACK)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Print all that a stack fetches, from where, and what it is checked by; asks no cloud."""
    with _explained():
        chosen = None if file else selected(stack)
        planned = plan(with_running_values(_spec(file, chosen), StackState.from_deployment(_deployment(chosen))))
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
    stack: Annotated[str | None, typer.Option(help=_STACK)] = None,
    output: Annotated[Path | None, typer.Option(help="The archive to write.")] = None,
) -> None:
    """Collect the logs of nodes into an archive, without their secrets; print each node's first broken layer."""
    with _explained():
        chosen = selected(stack)
        state = exported(chosen.name)
        planned = plan(with_running_values(_spec(None, chosen), StackState.from_deployment(state)))
        wanted = _known(names or [node.name for node in planned.nodes], planned)
        keys = stack_keys(state)
        instances = chosen.connect(state).instances(node.name for node in planned.nodes)
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
    stack: Annotated[str | None, typer.Option(help=_STACK)] = None,
    output: Annotated[Path | None, typer.Option(help="The file to write.")] = None,
) -> None:
    """Take a snapshot of the cluster: etcd's data and the cluster's keys, sealed for this stack."""
    with _explained():
        chosen = selected(stack)
        planned, state = plan(_spec(None, chosen)), exported(chosen.name)
        keys = stack_keys(state)
        path = output or Path(f"q8s-{planned.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.snapshot")
        hosts = _control_planes(planned, chosen.connect(state), keys)
        asyncio.run(snapshot.take(planned, hosts, path, keys.seed))
    console.print(f"snapshot: {path}", markup=False, soft_wrap=True)


@cli.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(help="What `snapshot` has written.", exists=True, dir_okay=False)],
    stack: Annotated[str | None, typer.Option(help=_STACK)] = None,
) -> None:
    """Make a cluster whose control planes are lost again, from a snapshot; workers and their pods go on."""
    with _explained():
        chosen = selected(stack)
        state = exported(chosen.name)
        planned = plan(with_running_values(_spec(None, chosen), StackState.from_deployment(state)))
        keys, cloud = stack_keys(state), chosen.connect(state, missing=True)
        _refuse_edits(planned, StackState.from_deployment(state))
        content = snapshot.checked(file, keys.seed)
        there = _control_planes(planned, cloud, keys)
        snapshot.refuse_living(planned, there.instances, content)
        asyncio.run(snapshot.refuse_member(planned, there))
        gone = missing(StackState.from_deployment(state), cloud.all_servers())
        _forget(chosen, [each.name for each in gone], cloud)
        with chosen.running() as running:
            snapshot.make_host(running, planned)
            asyncio.run(snapshot.lay(planned, _control_planes(planned, cloud, keys), content))
            running.up(on_output=print_line)


@cli.command("renew")
def renew_command(
    stack: Annotated[str | None, typer.Option(help=_STACK)] = None,
) -> None:
    """Renew the certificates of all control planes, one control plane after the other."""
    with _explained():
        chosen = selected(stack)
        planned, state = plan(_spec(None, chosen)), exported(chosen.name)
        first = planned.control_planes[0].name
        # The administrator's kubeconfig is a result of the first one's step.
        replaced = [f"**::{first}-init"]
        with chosen.running() as running:
            refuse_other_changes(running, replaced, {f"{first}-init"})
            hosts = _control_planes(planned, chosen.connect(state), stack_keys(state))
            files = {"kubeadm.yaml": kubeadm.renewal_configuration(planned.spec)}
            for node in planned.control_planes:
                console.print(f"{node.name}: renewing its certificates", markup=False)
                asyncio.run(hosts.run(Step("renew-certificates", node.name, "Kubernetes"), files))
            running.up(replace=replaced, on_output=print_line)


@cli.command("forget")
def forget_command(
    names: Annotated[list[str], typer.Argument(metavar="NODE...", help="Nodes whose instances no longer exist.")],
    stack: Annotated[str | None, typer.Option(help=_STACK)] = None,
) -> None:
    """Remove hosts that no longer exist from the stack's state; the next `pulumi up` creates them again."""
    with _explained():
        chosen = selected(stack)
        _forget(chosen, names, chosen.connect(chosen.deployment()["deployment"], missing=True))
    console.print("next:\n  pulumi up", markup=False)


@cli.command("in-use", hidden=True)
def in_use_command(
    groups: Annotated[list[str], typer.Argument(help="Ids of the cluster's security groups.")],
    stack: Annotated[str | None, typer.Option(help=_STACK)] = None,
) -> None:
    """Exit 3 with a list of the ports that use the security groups; the stack runs this before it deletes these."""
    with _explained():
        cloud = selected(stack).connect()
        if ports := in_use(groups, cloud.ports):
            _wrong(f"error: {how_to_free(groups, ports, cloud.all_servers())}")
            raise typer.Exit(EXIT_CODE)


@cli.command("bake")
def bake_command(
    stack: Annotated[str | None, typer.Option(help=_STACK)] = None,
    name: Annotated[str | None, typer.Option(help="What the image is called; by default CLUSTER-host.")] = None,
) -> None:
    """Make an image of a host that has all that workers need: new ones that boot it install and fetch nothing."""
    with _explained():
        chosen = selected(stack)
        state = exported(chosen.name)
        planned = plan(with_running_values(_spec(None, chosen), StackState.from_deployment(state)))
        cloud, image = chosen.connect(state), name or f"{planned.name}-host"
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
    console.print(f"for new hosts, in {chosen.file}:\n  hostImage: {{name: {image}}}", markup=False, soft_wrap=True)


@cli.command("tunnel")
def tunnel_command(
    stack: Annotated[str | None, typer.Option(help=_STACK)] = None,
) -> None:
    """Keep the proxy to the API server behind a bastion, for kubectl and `pulumi refresh`, until Ctrl-C."""
    with _explained():
        chosen = selected(stack)
        access = _spec(None, chosen).access
        if (bastion := access.bastion) is None:
            raise SpecErrors([Mistake("access.mode", access.mode, "only bastion has a tunnel: kubectl needs none")])
        usage = (
            f"{bastion.proxy_url} leads through {bastion.host} until Ctrl-C; beside it:\n"
            f"  pulumi stack output kubeconfig --show-secrets --stack {chosen.name} > kubeconfig\n"
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
    except (*_REFUSALS, OSError) as error:
        _wrong(f"error: {error}")
        raise typer.Exit(1) from None
    except automation.CommandError:
        errors.print(
            "error: Pulumi has failed, see above: fix the cause and run the command again",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(1) from None


def _state_of(chosen: SelectedStack) -> tuple[Mapping[str, Any] | None, OpenStackCloud]:
    """The stack's state, where it is made already, and the cloud that it is in."""
    deployment = _deployment(chosen)
    return deployment, chosen.connect(deployment)


def _deployment(chosen: SelectedStack | None) -> Mapping[str, Any] | None:
    """The stack's state; None where it is not made yet."""
    try:
        found: Mapping[str, Any] | None = chosen.deployment()["deployment"] if chosen else None
    except NoState:
        return None
    return found


def _forget(chosen: SelectedStack, names: Sequence[str], cloud: OpenStackCloud) -> None:
    """Remove hosts that no longer exist from the stack's state."""
    if not names:
        return
    exported = chosen.deployment()
    there = [server.id for server in cloud.all_servers()]
    chosen.replace_deployment({**exported, "deployment": forgotten(exported["deployment"], names, there)})
    console.print(f"removed from the state of stack {chosen.name}: {', '.join(names)}", markup=False, soft_wrap=True)


def _refuse_edits(planned: ClusterPlan, state: StackState) -> None:
    """Stop where the description has changes that no `pulumi up` has made yet.

    Raises:
        SpecErrors: it has.
    """
    made = {each.name for each in state.of_type(INSTANCE)}
    changes = [f"{name} is deleted" for name in sorted(made - {node.name for node in planned.nodes})]
    # Control planes that an earlier attempt has forgotten are to be created.
    changes += [f"{each.name} is created" for each in planned.workers if each.name not in made]
    if changes := [*changes, *rollout(planned, state).notes]:
        text = f"describes changes beside the restored control planes: {'; '.join(changes)}. Take them back for now"
        raise SpecErrors([Mistake("q8s:cluster", None, text)])


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


def _spec(file: Path | None, stack: SelectedStack | None) -> ClusterSpec:
    if file is not None:
        return load(read(file), file.stem.removeprefix("Pulumi."), base=file.parent)
    chosen = stack or selected(None)
    return load(read(chosen.file), chosen.short, base=chosen.file.parent)


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
