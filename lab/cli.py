"""The lab's command line: ``python -m lab``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from lab import checks, distributions, files, graph, images, layout, lock, mirrors, namespace, teardown
from lab.artifact import REPOSITORY, Artifact, BuildError, cache_root, prune
from lab.command import run
from lab.hosts.image import APT_PACKAGES as HOST_PACKAGES
from lab.hosts.image import HOST_IMAGE
from lab.images import published
from lab.images.guest import GUEST_IMAGES
from lab.images.image import APT_PACKAGES as IMAGE_PACKAGES
from lab.inside import OUTCOMES, status
from lab.mirrors import further, upgrades
from lab.mirrors import tools as mirror_tools
from lab.mirrors.authority import AUTHORITIES
from lab.mirrors.serve import APT_PACKAGES as MIRROR_PACKAGES
from lab.openstack.databases import SCHEMAS as DATABASE_SCHEMAS
from lab.openstack.venv import VENV
from lab.outdated.command import outdated
from lab.pulumi.artifacts import ARTIFACTS as PULUMI_ARTIFACTS
from lab.pulumi.install import install
from lab.schemas import SCHEMAS as DOCUMENT_SCHEMAS
from lab.services import LabError
from lab.steps import Steps, console

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="An OpenStack on this machine, to try Q8S in.")

PASS_ON: Final[dict[str, Any]] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
}
"""Context of a command that hands its words on as they are, ``--`` included."""

_SERVICE_PACKAGES = (
    "mariadb-server", "rabbitmq-server", "ebtables", "ipset", "conntrack", "iptables", "arptables", "bridge-utils",
    "iputils-arping", "openssh-client", "openssh-server", "ethtool", "util-linux", "procps",
)  # fmt: skip
# A proxy that hosts of the tests have between themselves and the mirrors.
_TEST_PACKAGES = ("tinyproxy",)
_PACKAGES = (*MIRROR_PACKAGES, *HOST_PACKAGES, *IMAGE_PACKAGES, *_SERVICE_PACKAGES, *_TEST_PACKAGES)
# From nothing, on two busy cores.
_BUILDS_SECONDS = 7200
_STATUS_SECONDS, _UP_SECONDS, _WIPE_SECONDS = 60, 1800, 600


def artifacts() -> tuple[Artifact, ...]:
    """Everything slow, what takes longest first: the rest fits beside it."""
    every = (
        AUTHORITIES,
        GUEST_IMAGES["arm64"],
        *mirrors.ARTIFACTS,
        *PULUMI_ARTIFACTS,
        VENV,
        HOST_IMAGE,
        *images.ARTIFACTS,
    )
    return tuple({artifact.key: artifact for artifact in every}.values())


def build(wanted: tuple[Artifact, ...], steps: Steps) -> None:
    """Build what is not in the cache, and say what the end waited for."""
    path = graph.critical_path(wanted, graph.build(wanted, steps))
    if path:
        console.print(f"critical path of the builds: {', then '.join(f'{name} {took:.0f} s' for name, took in path)}")


@cli.command()
def packages() -> None:
    """Debian's packages that the lab and the tests need."""
    with _explained():
        checks.machine(running=namespace.exists())
        installed = checks.packages(_PACKAGES)
    console.print("installed" if installed else "all there")


@cli.command()
def tools() -> None:
    """Pulumi, its plugins and kubectl: all that the engine tests need."""
    steps = Steps()
    with _explained(), _alone(seconds=_BUILDS_SECONDS):
        with steps.step("machine"):
            checks.machine(running=namespace.exists())
            checks.packages(_PACKAGES)
        build((*PULUMI_ARTIFACTS, *mirror_tools.ARTIFACTS), steps)
        _install_tools(steps)
    console.print(steps.table())


@cli.command()
def up() -> None:
    """Bring the lab up; where it is up, change nothing."""
    steps = Steps()
    with _explained(), _alone(seconds=_BUILDS_SECONDS):
        with steps.step("machine"):
            checks.machine(running=namespace.exists())
            checks.packages(_PACKAGES)
        build(artifacts(), steps)
        _install_tools(steps)
        with steps.step("namespace") as outcome:
            if not namespace.exists():
                # What a lab left that was killed, or the restart of a machine.
                teardown.clear()
            fresh = namespace.create()
            outcome.how = "done" if fresh else "there"
        _take_over()
        _start(fresh)
        steps.add_saved(OUTCOMES)
    console.print(steps.table())
    console.print(f"clouds.yaml: {layout.CLOUDS_YAML} (cloud {layout.CLOUD})", markup=False)


@cli.command(name="upgrades")
def upgrades_command() -> None:
    """Build the further releases of Kubernetes that tests of upgrades need: half an hour on two cores."""
    _build_further(upgrades.ARTIFACTS)


@cli.command(name="published")
def published_command() -> None:
    """Build the guest images as published ones that further tests boot: half an hour on two cores."""
    _build_further(published.ARTIFACTS)


@cli.command(name="further")
def further_command() -> None:
    """Build what workers of further architectures need, for the tests that have some: an hour on two cores."""
    _build_further(further.ARTIFACTS, further.APT_PACKAGES)


@cli.command(name="distributions")
def distributions_command() -> None:
    """Build hosts of an older and a newer release of Debian, for the tests that have some: ten minutes on two cores."""
    _build_further(distributions.ARTIFACTS)


@cli.command("status")
def status_command() -> None:
    """Show what runs; exit 1 where something should and does not."""
    if not namespace.exists():
        console.print("the lab is down")
        raise typer.Exit(1)
    with _explained():
        raise typer.Exit(namespace.run([sys.executable, "-m", "lab", "states"], limit=_STATUS_SECONDS))


@cli.command(hidden=True)
def states() -> None:
    """Show the services' states, from inside."""
    table = Table("service", "state", "log")
    known = status()
    for name, state in sorted(known.items()):
        table.add_row(name, state, str(layout.LOGS / f"{name}.log"))
    console.print(table)
    raise typer.Exit(0 if known and all(state == "RUNNING" for state in known.values()) else 1)


@cli.command()
def down(wipe: Annotated[bool, typer.Option("--wipe", help="Drop databases, hosts and stacks, too.")] = False) -> None:
    """Stop all that the lab started, whatever is left of it."""
    with _explained(), _alone(seconds=0):
        teardown.stop()
        if wipe:
            run("rm", "-rf", "--one-file-system", layout.STATE, layout.LOGS, limit=_WIPE_SECONDS)


@cli.command()
def clean() -> None:
    """Remove what no current artifact names from the cache, and the Go compiler's own cache."""
    with _explained(), _alone(seconds=0):
        asked_for = (*upgrades.ARTIFACTS, *published.ARTIFACTS, *further.ARTIFACTS, *distributions.ARTIFACTS)
        removed = prune((*artifacts(), *asked_for, DATABASE_SCHEMAS, DOCUMENT_SCHEMAS))
        for leftover in (cache_root() / "go-build", *cache_root().glob("guest-????????")):
            if leftover.is_dir():
                run("rm", "-rf", "--one-file-system", leftover, limit=_WIPE_SECONDS)
                removed.append(leftover)
    for path in removed:
        console.print(str(path), markup=False)
    console.print(f"{len(removed)} removed")


@cli.command()
def logs(name: str, lines: Annotated[int, typer.Option(help="How many of the last lines.")] = 100) -> None:
    """Show a service's log."""
    path = layout.LOGS / f"{name}.log"
    if not path.exists():
        there = ", ".join(sorted(each.stem for each in layout.LOGS.glob("*.log")))
        console.print(f"no log of {name}; there are {there}", markup=False)
        raise typer.Exit(1)
    os.execvp("tail", ["tail", f"--lines={lines}", str(path)])


@cli.command(context_settings=PASS_ON)
def enter(context: typer.Context) -> None:
    """Run a command inside the lab's namespace."""
    if not namespace.exists():
        console.print("the lab is down: run `make lab` first")
        raise typer.Exit(1)
    namespace.replace_with(context.args)


def _build_further(wanted: tuple[Artifact, ...], packages: tuple[str, ...] = ()) -> None:
    """What is built when asked for, on nobody's way to a lab, and the packages that it needs beside a lab's."""
    steps = Steps()
    with _explained(), _alone(seconds=_BUILDS_SECONDS):
        checks.packages((*_PACKAGES, *packages))
        build(wanted, steps)
    console.print(steps.table())


def _start(fresh: bool) -> None:
    """Start everything inside the namespace.

    Args:
        fresh: the lab was down, and is to be so again should it not come up.

    Raises:
        LabError: it did not come up.
    """
    started = False
    try:
        started = namespace.run([sys.executable, "-m", "lab.inside", "up"], limit=_UP_SECONDS) == 0
    finally:
        if fresh and not started:
            console.print("taking down what was started")
            teardown.stop()
    if not started:
        raise LabError(f"the lab is not up. Mend the cause, then run the same again. Logs: {layout.LOGS}")


def _take_over() -> None:
    """Say whose lab it was, where another checkout has brought it up: its services become this one's."""
    owner = layout.RUN / "checkout"
    former = owner.read_text() if owner.exists() else str(REPOSITORY)
    if former != str(REPOSITORY):
        console.print(f"this lab was brought up from {former}: it is taken over", markup=False)
    files.write(owner, str(REPOSITORY))


def _install_tools(steps: Steps) -> None:
    with steps.step("tools") as outcome:
        outcome.how = "there"
        install(layout.TOOLS)
        mirror_tools.install(layout.TOOLS)


cli.command()(outdated)


@contextmanager
def _alone(*, seconds: float) -> Iterator[None]:
    """Keeps other processes, of other checkouts too, from starting, stopping or changing the same lab meanwhile."""
    path = layout.RUN.with_name(f"{layout.RUN.name}.lock")
    with lock.held(path, f"the lab of {layout.STATE}", seconds=seconds, waiting=console.print):
        yield


@contextmanager
def _explained() -> Iterator[None]:
    """Turns the errors that explain themselves into a line and exit code 1."""
    try:
        yield
    except (LabError, BuildError) as error:
        console.print(f"error: {error}", markup=False)
        raise typer.Exit(1) from None
