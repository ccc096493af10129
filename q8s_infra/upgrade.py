"""From one version of Kubernetes to another: which nodes run which, and where no way leads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from q8s_infra.plan import ClusterPlan, ControlPlane, Worker
from q8s_infra.spec import ClusterSpec
from q8s_infra.spec.errors import Mistake
from q8s_infra.spec.names import control_plane_name
from q8s_infra.state.model import COMMAND, StackState

_UPGRADE: Final = "-upgrade"
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


class Version(NamedTuple):
    """A release of Kubernetes; later ones are greater."""

    major: int
    minor: int
    patch: int

    @classmethod
    def of(cls, text: str) -> Version | None:
        """What a text says, with or without a v before it; None where it is no version."""
        match = _VERSION.fullmatch(text.strip())
        return cls(*(int(number) for number in match.groups())) if match else None

    def __str__(self) -> str:
        return ".".join(str(number) for number in self)


def running(planned: ClusterPlan, state: StackState) -> Mapping[str, Version]:
    """The version that each node runs, as far as the stack knows: its last step prints it.

    Args:
        planned: the cluster as it is to be.
        state: what the stack has.
    """
    printed = {node.name: str(state.outputs(COMMAND, step_of(node)).get("stdout") or "") for node in planned.nodes}
    found = {name: Version.of(text) for name, text in printed.items()}
    return {name: version for name, version in found.items() if version}


def newest_version(spec: ClusterSpec, state: StackState) -> Version | None:
    """The newest version that a control plane of a cluster runs, as far as the stack knows.

    Args:
        spec: the description.
        state: what the stack has.
    """
    named = [control_plane_name(spec.name, at, spec.control_planes.name) for at in range(spec.control_planes.count)]
    steps = {f"{name}{_UPGRADE}" for name in named}
    # Those that are pending replacement, too: their host is lost, and the cluster is not.
    found = (each for each in state.resources if each.type == COMMAND and each.name in steps)
    printed = (Version.of(str(each.outputs.get("stdout") or "")) for each in found)
    return max((version for version in printed if version), default=None)


def step_of(node: ControlPlane | Worker) -> str:
    """Name of the step that prints the version that a node runs."""
    return f"{node.name}{_UPGRADE if isinstance(node, ControlPlane) else '-node'}"


def refused(planned: ClusterPlan, versions: Mapping[str, Version]) -> tuple[Mistake, ...]:
    """What kubeadm does not do: go back, or pass over a minor version.

    Source: "Version Skew Policy" and "Upgrading kubeadm clusters" of the Kubernetes documentation.

    Args:
        planned: the cluster as it is to be.
        versions: what :func:`running` has found.
    """
    there = [versions[node.name] for node in planned.control_planes if node.name in versions]
    asked = Version.of(planned.spec.kubernetes.version)
    if not there or not asked:
        return ()
    oldest, newest = min(there), max(there)
    if asked < newest:
        why = f"the cluster runs {newest}, and there is no way back"
    elif asked.major != oldest.major or asked.minor > oldest.minor + 1:
        following = f"{oldest.major}.{oldest.minor + 1}"
        why = f"the cluster runs {oldest}, and no minor version is passed over: take {following} before"
    else:
        return ()
    return (Mistake("kubernetes.version", str(asked), why),)
