"""The spec from the running stack's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi

from q8s_infra import certificates, upgrade
from q8s_infra.cloud import FAILURES, connect, failure
from q8s_infra.kept import made_with, refused, with_images
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.preflight import check
from q8s_infra.rollout import Rollout, rollout
from q8s_infra.spec import SpecErrors, load
from q8s_infra.strays import how_to_forget, ids, lost, remove, strays


def load_stack() -> tuple[ClusterPlan, Rollout]:
    """The plan of what ``q8s:cluster`` or ``q8s:clusterFile`` describes, checked against the cloud.

    Returns:
        The plan, and how what the stack has comes to it.

    Raises:
        pulumi.RunError: the spec has mistakes; all of them are in the message, and nothing has been created.
    """
    config = pulumi.Config("q8s")
    given = {"cluster": config.get_object("cluster"), "clusterFile": config.get("clusterFile")}
    try:
        spec, known = load(given, pulumi.get_stack(), base=Path.cwd()), _known_resources()
        planned = plan(with_images(spec, known))
        if mistakes := (*refused(made_with(known), spec), *upgrade.refused(planned, upgrade.running(planned, known))):
            raise SpecErrors(mistakes)
        warnings = planned.warnings if config.get_bool("offline") else (*planned.warnings, *_fits(planned, known))
    except SpecErrors as errors:
        raise pulumi.RunError(f"the cluster's description has mistakes; nothing was changed\n{errors}") from None
    except FAILURES as error:
        raise pulumi.RunError(f"{failure(error)}\nThe cluster was not changed; run the same again") from None
    for warning in (*warnings, *certificates.warnings(known)):
        pulumi.log.warn(warning)
    rolled = rollout(planned, known)
    for note in rolled.notes:
        pulumi.log.info(note)
    return planned, rolled


def _known_resources() -> Mapping[str, Mapping[str, Any]]:
    """Types and outputs of what the running stack knows, by URNs."""
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    answer = pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": name})
    known: Mapping[str, Mapping[str, Any]] = answer.value["outputs"]
    return known


def _fits(planned: ClusterPlan, known: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The cloud's word on a plan, once what a killed run has left in the way is gone.

    Raises:
        pulumi.RunError: instances of the stack are gone.
    """
    cloud = connect(pulumi.Config("openstack").get("cloud"))
    if missing := lost(known, cloud):
        raise pulumi.RunError(how_to_forget(missing, (node.name for node in planned.control_planes)))
    found = strays(planned.name, ids(known), cloud)
    if pulumi.runtime.is_dry_run():
        return (*(f"{stray}, and pulumi up deletes it" for stray in found), *check(planned, cloud))
    remove(found, cloud)
    return check(planned, cloud)
