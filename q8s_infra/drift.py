"""Where the stack's state and the cloud differ: missing instances, and orphans that the state does not know. Pure.

Absence from the state is no reason to delete: the state may be older than the cloud (restored from a backup, copied,
edited). An orphan is deleted only with evidence that nothing lives on it: the engine had begun to create it, by this
very name, when its run was killed, and no step of the program has ever run on it. Everything else is listed, with the
commands that resolve it, and stops the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from q8s_infra.openstack_project import OpenStackProject
from q8s_infra.state.model import COMMAND, COPY, GROUP, INSTANCE, PORT, StackState

OWNER: Final = "q8s-group"
"""Key of an instance's metadata: the id of its cluster's security group."""
Kind = Literal["instance", "port"]


@dataclass(frozen=True)
class Server:
    """An instance of the project.

    Attributes:
        id: its id.
        name: its name.
        owner: id of the security group that its metadata names as its cluster's; may be empty.
        launched: it has been running at some time.
    """

    id: str
    name: str
    owner: str
    launched: bool = True


@dataclass(frozen=True)
class Port:
    """A port of the project.

    Attributes:
        id: its id.
        name: its name.
        groups: ids of its security groups.
        free: it is attached to nothing.
        device: id of the instance that it is attached to, if any.
    """

    id: str
    name: str
    groups: frozenset[str]
    free: bool
    device: str = ""


class Cloud(Protocol):
    """The project's instances and ports; tests have one of their own."""

    def all_servers(self) -> Iterable[Server]:
        """All instances of the project."""
        ...

    def ports(self) -> Iterable[Port]:
        """All ports of the project."""
        ...

    def delete(self, kind: Kind, identity: str) -> None:
        """Delete it, and wait until it is gone."""
        ...


@dataclass(frozen=True)
class Missing:
    """An instance that the state has and the project has not."""

    urn: str
    id: str
    name: str


@dataclass(frozen=True)
class Orphan:
    """An instance or port of the cluster that the state does not have.

    Attributes:
        kind: instance or port.
        id: OpenStack's id.
        name: its name.
        interrupted: the engine had begun to create the resource of this name when its run was killed.
        launched: an instance that has been running: a step may have prepared it.
    """

    kind: Kind
    id: str
    name: str
    interrupted: bool
    launched: bool = True

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.id})"


def missing(state: StackState, servers: Iterable[Server]) -> tuple[Missing, ...]:
    """The instances that the state has and the project has not.

    One that is pending replacement is not missing: the engine deleted it by itself, and creates it at the next run.
    """
    there = {server.id for server in servers}
    return tuple(
        Missing(each.urn, each.id, str(each.outputs.get("name") or each.name))
        for each in state.of_type(INSTANCE)
        if each.id and each.id not in there
    )


def stranded(state: StackState, names: Iterable[str]) -> tuple[str, ...]:
    """Hosts that neither the state nor the plan has, and that steps of the state would be taken back on.

    A refresh that finds an instance gone leaves them behind (see :mod:`q8s_infra.state.model`).

    Args:
        state: the stack's.
        names: names of the nodes of the plan.
    """
    scripts = {each.urn: each.name.removesuffix("-scripts") for each in state.of_type(COPY)}
    steps = [each for each in state.of_type(COMMAND) if each.inputs.get("delete")]
    hosts = {scripts[urn] for each in steps for urn in each.dependencies if urn in scripts}
    there = {each.name for each in state.of_type(INSTANCE)}
    return tuple(sorted(name for name in hosts - there - set(names) if not state.is_pending(INSTANCE, name)))


def orphaned_instances(state: StackState, servers: Iterable[Server], ignored: Iterable[str] = ()) -> Iterator[Orphan]:
    """Instances that name a security group of the stack as their cluster's, and that the state does not have.

    Args:
        state: the stack's.
        servers: the project's instances.
        ignored: names of instances that are no nodes.
    """
    groups, known, skipped = state.ids(GROUP), state.ids(INSTANCE), frozenset(ignored)
    for server in servers:
        if server.owner in groups and server.id not in known and server.name not in skipped:
            interrupted = state.is_creating(INSTANCE, server.name)
            yield Orphan("instance", server.id, server.name, interrupted, server.launched)


def orphaned_ports(state: StackState, ports: Iterable[Port], names: Iterable[str]) -> Iterator[Orphan]:
    """Free ports in the stack's security groups that have the exact name of a node, and that the state does not have.

    Args:
        state: the stack's.
        ports: the project's ports.
        names: names of the nodes; an operator's own port in the group has another one.
    """
    groups, known, nodes = state.ids(GROUP), state.ids(PORT), frozenset(names)
    for port in ports:
        creating = state.is_creating(PORT, f"{port.name}-port")
        if port.free and port.groups & groups and port.id not in known and (port.name in nodes or creating):
            yield Orphan("port", port.id, port.name, creating)


def unused(orphan: Orphan, control_planes: Iterable[str], never_prepared: Callable[[str], bool]) -> bool:
    """Whether there is evidence that nothing lives on an orphan.

    Args:
        orphan: an orphan.
        control_planes: names of all control planes.
        never_prepared: asks a running host, by its name, whether no step of the program has ever run on it. False also
            where the host can't be asked.
    """
    if not orphan.interrupted:
        return False
    if orphan.kind == "port" or not orphan.launched:
        return True
    return orphan.name not in frozenset(control_planes) and never_prepared(orphan.name)


def how_to_recreate(instances: Iterable[Missing], project: OpenStackProject, control_planes: Iterable[str]) -> str:
    """The error for missing instances, with the command by which the next run creates them again.

    Args:
        instances: the missing ones.
        project: where they were looked for, which is where the stack was created.
        control_planes: names of all control planes.
    """
    found = list(instances)
    all_lost = set(control_planes) <= {each.name for each in found}
    restore = (
        "\nNo control plane is left, so that makes a new, empty cluster, and replaces every worker. With a backup, "
        "restore this one instead:\n  python -m q8s_infra restore FILE"
    )
    return (
        f"instances in the stack's state do not exist in {project}, where this stack was created. Nothing was changed\n"
        + "".join(f"  {each.name} ({each.id})\n" for each in found)
        + "To recreate, remove what does not exist from the state, then run pulumi up:\n"
        + f"  python -m q8s_infra forget {' '.join(each.name for each in found)}"
        + (restore if all_lost else "")
    )


def how_to_release(hosts: Iterable[str]) -> str:
    """The error for steps that would be taken back on hosts that do not exist, see :func:`stranded`."""
    names = list(hosts)
    return (
        f"the stack's state has steps on hosts that no longer exist: {', '.join(names)}. Nothing was changed\n"
        "Take these steps' deletions from the state, then run pulumi up:\n"
        f"  python -m q8s_infra forget {' '.join(names)}"
    )


def how_to_resolve(orphans: Iterable[Orphan], stack: str, parents: StackState) -> str:
    """The error for orphaned instances, with the commands that resolve it.

    Args:
        orphans: instances that the state does not have and that may be alive.
        stack: the stack's name.
        parents: the state, for the URNs of components that the instances belong to.
    """
    found = list(orphans)
    hosts = {each.name: each.urn for each in parents.of_type("q8s:index:Host")}
    lines = []
    for each in found:
        lines.append(f"  {each}")
        if each.name in hosts:
            lines.append(
                f"    keep it: pulumi import {INSTANCE} {each.name} {each.id} --parent host={hosts[each.name]}, "
                "then pulumi preview, which must not replace it"
            )
        lines.append(f"    give it up: openstack server delete {each.id}")
    return (
        "OpenStack has instances of this cluster that the stack's state does not have: the state is older than the "
        "cloud, a copy, or was edited. They may be alive, so nothing was changed\n"
        + "\n".join(lines)
        + "\nTo keep them all, import the newer state (another machine's, a later backup); an import of a single "
        f"instance may end in its replacement:\n  pulumi stack import --stack {stack} --file STATE.json"
    )
