"""Does the plan fit the cloud? Every mistake at once, before anything is created or deleted."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from q8s_infra.cloud import Cloud
from q8s_infra.plan import ClusterPlan
from q8s_infra.preflight.flavors import (
    CONTROL_PLANE_CPUS,
    control_plane_gib,
    flavor_mistakes,
    flavor_warnings,
    host_gib,
    host_mib,
    image_mistakes,
    zone_mistakes,
)
from q8s_infra.preflight.hosts import NOTHING, Ours, hosts
from q8s_infra.preflight.network import (
    cluster_mistakes,
    external_mistakes,
    group_mistakes,
    lan,
    lan_mistakes,
    lan_warnings,
)
from q8s_infra.preflight.quotas import Need, quota_mistakes, quota_needs
from q8s_infra.preflight.volumes import volume_mistakes, volume_warnings
from q8s_infra.spec import SpecErrors

__all__ = ["CONTROL_PLANE_CPUS", "Need", "Ours", "check", "control_plane_gib", "host_gib", "host_mib", "needs"]

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def check(
    plan: ClusterPlan, cloud: Cloud, replaced: Mapping[str, str] = _NONE, ours: Ours = NOTHING
) -> tuple[str, ...]:
    """Compare a plan with the cloud; hosts that exist and stay need nothing more.

    Args:
        plan: what is to be.
        cloud: what there is.
        replaced: hosts that this run deletes and creates again, and the names of the flavors that they have now.
        ours: what the stack has made already.

    Returns:
        Warnings: what works, but perhaps not as meant.

    Raises:
        SpecErrors: everything that does not fit.
    """
    found = hosts(plan, cloud, replaced, ours)
    mistakes = [*flavor_mistakes(found), *image_mistakes(found, cloud), *volume_mistakes(found, cloud)]
    warnings = [*flavor_warnings(found), *volume_warnings(found, cloud)]
    try:
        network = lan(plan.spec.network, cloud)
    except SpecErrors as errors:
        mistakes += errors.mistakes
    else:
        mistakes += lan_mistakes(found, network)
        warnings += lan_warnings(found, network)
    mistakes += zone_mistakes(found, cloud)
    mistakes += [*external_mistakes(plan, cloud), *group_mistakes(found, cloud), *cluster_mistakes(found, cloud)]
    mistakes += quota_mistakes(found, cloud)
    if mistakes:
        raise SpecErrors(mistakes)
    return tuple(warnings)


def needs(
    plan: ClusterPlan, cloud: Cloud, replaced: Mapping[str, str] = _NONE, ours: Ours = NOTHING
) -> tuple[Need, ...]:
    """How much of each quota the plan takes beside what is there; arguments as for :func:`check`."""
    return quota_needs(hosts(plan, cloud, replaced, ours), cloud)
