"""What a cluster keeps as it was made, whoever describes or makes it later.

Another value of some fields is refused before anything is changed, by previews and runs. Guests' images stay where no
other ones are asked for: a release of this program with other defaults makes no guest anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from q8s_infra.arch import ARCHITECTURES
from q8s_infra.spec import ClusterSpec, GuestImage
from q8s_infra.spec.errors import Mistake

COMPONENT: Final = "q8s:index:Cluster"
"""Type of the component whose outputs say what the cluster was made with."""
OUTPUT: Final = "kept"
ARTIFACTS: Final = "q8s:index:Artifacts"
"""Type of the component whose outputs say what the guests of an architecture are made from."""
IMAGE: Final = "image"


def image_field(image: GuestImage) -> dict[str, str]:
    """An image as the description has it."""
    return {"url": image.url, **({"sha256": image.sha256} if image.sha256 else {})}


def with_images(spec: ClusterSpec, resources: Mapping[str, Mapping[str, Any]]) -> ClusterSpec:
    """A description with the images that guests are made from already, where it asks for none.

    Args:
        spec: what is asked for.
        resources: type and outputs of the stack's resources by their URNs.
    """
    there = {
        name: GuestImage.model_validate(resource["outputs"][IMAGE])
        for urn, resource in resources.items()
        for name in ARCHITECTURES
        if resource["type"] == ARTIFACTS and IMAGE in resource["outputs"] and urn.endswith(f"-{name}")
    }
    return spec.model_copy(update={"guest_images": {**there, **spec.guest_images}})


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
