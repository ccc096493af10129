"""Which OpenStack project a stack's resources are in, and whether the credentials at hand are of the same one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from q8s_infra.state.model import CLUSTER, GROUP, INSTANCE, PORT, StackState

OUTPUT: Final = "openstack"
"""The output of the cluster's component that records the project."""


@dataclass(frozen=True)
class OpenStackProject:
    """A project in a region; an empty field is not known.

    Attributes:
        project: the project's id.
        region: the region's name.
        endpoint: URL of the compute service.
    """

    project: str = ""
    region: str = ""
    endpoint: str = ""

    def __str__(self) -> str:
        region = f"region {self.region}" if self.region else "no region named"
        return f"project {self.project or 'unknown'} ({region}{', ' if self.endpoint else ''}{self.endpoint})"

    def output(self) -> dict[str, str]:
        """The record in the component's outputs."""
        return {"project": self.project, "region": self.region, "endpoint": self.endpoint}

    def differences(self, other: OpenStackProject) -> tuple[str, ...]:
        """Names of the fields that are known of both and differ."""
        mine, theirs = self.output(), other.output()
        return tuple(name for name, value in mine.items() if value and theirs[name] and value != theirs[name])


def recorded(state: StackState) -> OpenStackProject:
    """The project that the stack's resources were created in, as far as the state says.

    The component records it at the end of a run. Before that, and in stacks of earlier releases, ports and security
    groups have their project and their region among their outputs (``tenantId``, ``region``).
    """
    outputs: Mapping[str, Any] = next((each.outputs for each in state.of_type(CLUSTER)), {})
    found = outputs.get(OUTPUT) or {}
    resources = [resource for kind in (GROUP, PORT, INSTANCE) for resource in state.of_type(kind)]

    def first(name: str) -> str:
        return next((str(each.outputs[name]) for each in resources if each.outputs.get(name)), "")

    return OpenStackProject(
        str(found.get("project") or first("tenantId")),
        str(found.get("region") or first("region")),
        str(found.get("endpoint") or ""),
    )


def mismatch(created_in: OpenStackProject, asked: OpenStackProject, *, missing: bool) -> str | None:
    """Why nothing may be concluded from what this cloud has; None where the credentials are of the right project.

    Args:
        created_in: the stack's, see :func:`recorded`.
        asked: the project that the credentials at hand lead to.
        missing: instances of the stack were not found. Only then, and where a project is not known, does the endpoint
            count.
    """
    # A project's id is of one cloud only. Its endpoint may change, and there may be several.
    by_endpoint = missing and not (created_in.project and asked.project)
    different = [name for name in created_in.differences(asked) if by_endpoint or name != "endpoint"]
    if not different:
        return None
    return (
        f"these credentials are of another {' and '.join(different)}; nothing of the stack is missing, and nothing was "
        f"changed\n  the stack was created in {created_in}\n  these credentials are of {asked}\n"
        "Select the right ones with OS_CLOUD and OS_REGION_NAME, or openstack:cloud and openstack:region in the "
        "stack's configuration"
    )
