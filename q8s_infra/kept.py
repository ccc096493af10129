"""The immutable fields of a cluster, the images that its guests were made from, and the version that it runs.

Another value of an immutable field is refused before anything is changed, by previews and runs. Guests' images and
the version of Kubernetes stay where the description names none: a release of this program with other defaults
replaces no guest and upgrades no cluster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Network
from typing import Final

from q8s_infra.arch import ARCHITECTURES
from q8s_infra.defaults import GUEST_LINKS
from q8s_infra.plan import ClusterPlan
from q8s_infra.spec import ClusterSpec, GuestImage
from q8s_infra.spec.errors import Mistake
from q8s_infra.state.model import ARTIFACTS, CLUSTER, CONTROL_PLANE, PORT, StackState
from q8s_infra.upgrade import newest_version

OUTPUT: Final = "kept"
IMAGE: Final = "image"
LINK: Final = "network.guestLink"


def image_field(image: GuestImage) -> dict[str, str]:
    """An image as the description has it."""
    return {"url": image.url, **({"sha256": image.sha256} if image.sha256 else {})}


def with_running_values(spec: ClusterSpec, state: StackState) -> ClusterSpec:
    """A description with the images, Kubernetes' version and the link to guests of the cluster, where it names none.

    Args:
        spec: the description.
        state: what the stack has.
    """
    # Not validated: what an earlier release accepted goes on.
    there = {
        name: GuestImage.model_construct(**{"sha256": None, **resource.outputs[IMAGE]})
        for resource in state.of_type(ARTIFACTS)
        for name in ARCHITECTURES
        if IMAGE in resource.outputs and resource.name.endswith(f"-{name}")
    }
    kubernetes = spec.kubernetes
    if "version" not in kubernetes.model_fields_set and (runs := newest_version(spec, state)):
        kubernetes = kubernetes.model_copy(update={"version": str(runs)})
    network = spec.network
    if network.guest_link is None and (link := made_with(state, spec.name).get(LINK)):
        network = network.model_copy(update={"guest_link": IPv4Network(link)})
    return spec.model_copy(
        update={"guest_images": {**there, **spec.guest_images}, "kubernetes": kubernetes, "network": network}
    )


def kept_fields(spec: ClusterSpec) -> dict[str, str]:
    """The fields that no Kubernetes cluster can change, by their paths in the description."""
    return {
        "kubernetes.podCidr": str(spec.kubernetes.pod_cidr),
        "kubernetes.nodeCidrMaskSize": str(spec.kubernetes.node_cidr_mask_size),
        "kubernetes.serviceCidr": str(spec.kubernetes.service_cidr),
        "nodePorts": spec.node_ports,
    }


def recorded_fields(spec: ClusterSpec) -> dict[str, str]:
    """The immutable fields that the cluster's component records: those of Kubernetes, its cgroup driver, the link."""
    own = {"kubernetes.cgroupDriver": spec.kubernetes.cgroup_driver, LINK: str(spec.guest_link.cidr)}
    return {**kept_fields(spec), **own}


def kept_document(spec: ClusterSpec) -> str:
    """The fields of Kubernetes, a line each: for the host that makes the cluster, and refuses as well."""
    return "".join(f"{path} {value}\n" for path, value in kept_fields(spec).items())


def made_with(state: StackState, name: str) -> Mapping[str, str]:
    """The immutable fields of the cluster of this name; nothing before it is made."""
    recorded = dict(state.outputs(CLUSTER, name).get(OUTPUT) or {})
    # Earlier releases had this link only, and did not record it.
    return {LINK: str(GUEST_LINKS[0]), **recorded} if recorded else {}


def refused(kept: Mapping[str, str], spec: ClusterSpec) -> tuple[Mistake, ...]:
    """The immutable fields that a description changes.

    Args:
        kept: the cluster's, see :func:`made_with`.
        spec: the description.
    """
    return tuple(
        Mistake(path, value, f"cannot be changed: the cluster was made with {kept[path]}. Make another cluster")
        for path, value in recorded_fields(spec).items()
        if path in kept and kept[path] != value
    )


def renamed(planned: ClusterPlan, state: StackState) -> Iterator[Mistake]:
    """Names of which another value would replace the cluster, or its first control plane.

    Args:
        planned: the plan of the stack's only cluster.
        state: what the stack has.
    """
    clusters = state.cluster_names()
    if clusters and planned.name not in clusters:
        yield Mistake(
            "name",
            planned.name,
            f"cannot be changed: the stack's cluster is called {clusters[0]}, and another name would delete it and "
            f"create a new one. Set name: {clusters[0]}. To replace it on purpose, run pulumi destroy first",
        )
        return
    first = planned.control_planes[0].name
    firsts = [
        each.name
        for each in state.of_type(CONTROL_PLANE)
        if each.parent.endswith(f"::{planned.name}") or not each.parent
    ]
    if firsts and first not in firsts:
        yield Mistake(
            "controlPlanes.name",
            planned.spec.control_planes.name,
            f"cannot be changed: the cluster's first control plane is called {firsts[0]}, and another name would "
            "replace it and leave its etcd member behind. Take the former value",
        )


def moved(planned: ClusterPlan, state: StackState, networks: Collection[str]) -> Iterator[Mistake]:
    """Another network, which would replace every host at once.

    Args:
        planned: the plan.
        state: what the stack has.
        networks: ids of the networks that have the name or id in the description.
    """
    there = {str(each.outputs["networkId"]) for each in state.of_type(PORT) if each.outputs.get("networkId")}
    if networks and there and not there & set(networks):
        network = planned.spec.network
        path, given = ("network.id", network.id) if network.id else ("network.name", network.name)
        yield Mistake(
            path,
            given,
            f"cannot be changed: the cluster's hosts are on network {', '.join(sorted(there))}. Make another cluster",
        )
