"""What a cluster keeps as it was made: another value is refused before anything is changed, by previews and runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from q8s_infra.spec import ClusterSpec
from q8s_infra.spec.errors import Mistake

COMPONENT: Final = "q8s:index:Cluster"
"""Type of the component whose outputs say what the cluster was made with."""
OUTPUT: Final = "kept"


def kept_fields(spec: ClusterSpec) -> dict[str, str]:
    """What no Kubernetes cluster can change, by the fields' paths in the description."""
    return {
        "kubernetes.podCidr": str(spec.kubernetes.pod_cidr),
        "kubernetes.nodeCidrMaskSize": str(spec.kubernetes.node_cidr_mask_size),
        "kubernetes.serviceCidr": str(spec.kubernetes.service_cidr),
        "nodePorts": spec.node_ports,
    }


def kept_document(spec: ClusterSpec) -> str:
    """The same, a line each: for the host that makes the cluster, and refuses as well."""
    return "".join(f"{path} {value}\n" for path, value in kept_fields(spec).items())


def made_with(resources: Mapping[str, Mapping[str, Any]]) -> Mapping[str, str]:
    """What the stack's cluster was made with; nothing before it is made.

    Args:
        resources: type and outputs of the stack's resources by their URNs.
    """
    found: dict[str, str] = {}
    for resource in resources.values():
        if resource["type"] == COMPONENT:
            found.update(resource["outputs"].get(OUTPUT, {}))
    return found


def refused(kept: Mapping[str, str], spec: ClusterSpec) -> tuple[Mistake, ...]:
    """The fields of a description that a cluster can't follow.

    Args:
        kept: what it was made with.
        spec: what it is to be.
    """
    return tuple(
        Mistake(path, value, f"the cluster was made with {kept[path]} and keeps it: make another cluster")
        for path, value in kept_fields(spec).items()
        if path in kept and kept[path] != value
    )
