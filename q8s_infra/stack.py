"""The plan of the running stack: its configuration, checked against its state and the cloud before any change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from q8s_infra import certificates, upgrade
from q8s_infra.cloud import OpenStackCloud, connect
from q8s_infra.connection import FAILURES, SETTINGS, failure
from q8s_infra.drift import (
    Orphan,
    how_to_recreate,
    how_to_release,
    how_to_resolve,
    missing,
    orphaned_instances,
    orphaned_ports,
    stranded,
    unused,
)
from q8s_infra.kept import made_with, moved, refused, renamed, with_running_values
from q8s_infra.openstack_project import OpenStackProject, mismatch, recorded
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.preflight import Ours, check
from q8s_infra.probe import never_prepared
from q8s_infra.rollout import Rollout, replaced_hosts, rollout
from q8s_infra.spec import SpecErrors, load
from q8s_infra.state.model import KEYPAIR, PORT, StackState
from q8s_infra.state.read import running_stack


@dataclass(frozen=True)
class Loaded:
    """A stack that is ready to be declared.

    Attributes:
        plan: its nodes.
        rollout: in which order what exists comes to the plan.
        project: the OpenStack project that it is in, to be recorded with the stack.
    """

    plan: ClusterPlan
    rollout: Rollout
    project: OpenStackProject


def load_stack() -> Loaded:
    """The plan of what ``q8s:cluster`` or ``q8s:clusterFile`` describes.

    Raises:
        pulumi.RunError: the description has mistakes, all of which are in the message; or the state and the cloud
            differ in a way that the program can't resolve without risk. Nothing has been changed.
    """
    config = pulumi.Config("q8s")
    given = {"cluster": config.get_object("cluster"), "clusterFile": config.get("clusterFile")}
    try:
        spec, state = load(given, pulumi.get_stack(), base=Path.cwd()), running_stack()
        planned = plan(with_running_values(spec, state))
        mistakes = (
            *renamed(planned, state),
            *refused(made_with(state, planned.name), planned.spec),
            *upgrade.refused(planned, upgrade.running(planned, state)),
        )
        if mistakes:
            raise SpecErrors(mistakes)
        if lost := stranded(state, (node.name for node in planned.nodes)):
            raise pulumi.RunError(how_to_release(lost))
        project, warnings = recorded(state), planned.warnings
        if not config.get_bool("offline"):
            cloud = connect(_provider_settings())
            project = cloud.project
            warnings = (*warnings, *_checked(planned, state, cloud))
    except SpecErrors as errors:
        raise pulumi.RunError(f"the cluster's description has mistakes; nothing was changed\n{errors}") from None
    except FAILURES as error:
        raise pulumi.RunError(f"{failure(error)}\nThe cluster was not changed; run the same command again") from None
    for warning in (*warnings, *certificates.warnings(state)):
        pulumi.log.warn(warning)
    rolled = rollout(planned, state)
    for note in rolled.notes:
        pulumi.log.info(note)
    return Loaded(planned, rolled, project)


def _provider_settings() -> Mapping[str, str]:
    """``openstack:*`` of the running stack's configuration."""
    config = pulumi.Config("openstack")
    return {name: value for name in SETTINGS if (value := config.get(name))}


def _checked(planned: ClusterPlan, state: StackState, cloud: OpenStackCloud) -> tuple[str, ...]:
    """Compare the state and the plan with the cloud.

    Returns:
        Warnings.

    Raises:
        pulumi.RunError: state and cloud differ, and the user has to say what holds.
        SpecErrors: the cloud refuses the plan.
    """
    servers = list(cloud.all_servers())
    gone = missing(state, servers)
    if wrong := mismatch(recorded(state), cloud.project, missing=bool(gone)):
        raise pulumi.RunError(wrong)
    control_planes = [node.name for node in planned.control_planes]
    if gone:
        raise pulumi.RunError(how_to_recreate(gone, cloud.project, control_planes))
    network = planned.spec.network
    there = [each.id for each in cloud.seen_networks(network.id or network.name or "")]
    if mistakes := (*moved(planned, state, there),):
        raise SpecErrors(mistakes)
    orphans = list(orphaned_instances(state, servers, ignored=[planned.bake_host]))
    leftovers = [each for each in orphans if unused(each, control_planes, never_prepared(planned, cloud))]
    if alive := [each for each in orphans if each not in leftovers]:
        raise pulumi.RunError(how_to_resolve(alive, pulumi.get_stack(), state))
    warnings = [*_resolved(leftovers, cloud)]
    names = [node.name for node in planned.nodes]
    ports = list(orphaned_ports(state, cloud.ports(), names))
    warnings += _resolved([each for each in ports if each.interrupted], cloud)
    warnings += [f"{each} is not in the stack's state: it is left alone" for each in ports if not each.interrupted]
    return (*warnings, *check(planned, cloud, replaced_hosts(planned, state), ours(planned, state)))


def ours(planned: ClusterPlan, state: StackState) -> Ours:
    """What the stack has made of a plan, of which the preflight would take it for somebody else's or count it twice."""
    ports = frozenset(node.name for node in planned.nodes if state.has(PORT, f"{node.name}-port"))
    return Ours(keypair=state.has(KEYPAIR, f"{planned.name}-keypair"), ports=ports)


def _resolved(leftovers: list[Orphan], cloud: OpenStackCloud) -> Iterator[str]:
    """Delete what a killed run began to create and nothing lives on; a preview only says so."""
    for each in leftovers:
        if pulumi.runtime.is_dry_run():
            yield f"{each}: a killed run began to create it and no step ran on it; pulumi up deletes it"
            continue
        pulumi.log.info(f"{each}: a killed run began to create it and no step ran on it: deleting it")
        cloud.delete(each.kind, each.id)
