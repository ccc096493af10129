"""The spec from the running stack's configuration."""

from __future__ import annotations

from pathlib import Path

import pulumi

from q8s_infra.cloud import connect
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.preflight import check
from q8s_infra.spec import ClusterSpec, SpecErrors, load
from q8s_infra.strays import known_to_the_stack, remove, strays


def load_stack() -> ClusterSpec:
    """The spec that ``q8s:cluster`` or ``q8s:clusterFile`` describes, checked against the cloud.

    Raises:
        pulumi.RunError: the spec has mistakes; all of them are in the message, and nothing has been created.
    """
    config = pulumi.Config("q8s")
    given = {"cluster": config.get_object("cluster"), "clusterFile": config.get("clusterFile")}
    try:
        spec = load(given, pulumi.get_stack(), base=Path.cwd())
        planned = plan(spec)
        warnings = planned.warnings if config.get_bool("offline") else (*planned.warnings, *_fits(planned))
    except SpecErrors as mistakes:
        raise pulumi.RunError(f"the cluster's description has mistakes; nothing was changed\n{mistakes}") from None
    for warning in warnings:
        pulumi.log.warn(warning)
    return spec


def _fits(planned: ClusterPlan) -> tuple[str, ...]:
    """The cloud's word on a plan, once what a killed run has left in the way is gone."""
    cloud = connect(pulumi.Config("openstack").get("cloud"))
    found = strays(planned.name, known_to_the_stack(), cloud)
    if pulumi.runtime.is_dry_run():
        return (*(f"{stray}, and pulumi up deletes it" for stray in found), *check(planned, cloud))
    remove(found, cloud)
    return check(planned, cloud)
