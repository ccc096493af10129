"""The stack's state as one typed model, read once for a run and used by everything that decides what to change. Pure.

Facts about the engine's states (pulumi/pulumi 3.259, sdk/go/common/apitype and pkg/resource/deploy):

- A resource that was deleted before its replacement, whose creation then failed or was cut off, stays in the state with
  its old id and outputs, marked ``pendingReplacement``. The next ``pulumi up`` creates it; a refresh does not touch it.
- A creation that a killed run had begun stays in ``pending_operations`` with type ``creating``.
- A refresh that finds a resource gone clears ``deletedWith`` of every resource that named it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

INSTANCE: Final = "openstack:compute/instance:Instance"
PORT: Final = "openstack:networking/port:Port"
KEYPAIR: Final = "openstack:compute/keypair:Keypair"
GROUP: Final = "openstack:networking/secGroup:SecGroup"
COMMAND: Final = "command:remote:Command"
"""Type of the resources that are steps on hosts."""
COPY: Final = "command:remote:CopyToRemote"
CLUSTER: Final = "q8s:index:Cluster"
"""Type of the component that is a whole cluster; its outputs record its immutable fields and its OpenStack project."""
CONTROL_PLANE: Final = "q8s:index:ControlPlane"
ARTIFACTS: Final = "q8s:index:Artifacts"


@dataclass(frozen=True)
class Resource:
    """A resource of the stack.

    Attributes:
        urn: the engine's name for it.
        type: its type token.
        id: the provider's id; empty for components.
        inputs: as the program declared them; empty where the state was read without them.
        outputs: as the provider returned them. Secrets are ciphertexts.
        pending: deleted before its replacement, which has not been created yet.
        parent: URN of its parent; may be empty.
        deleted_with: URN of the resource whose deletion is this one's, too; may be empty.
        dependencies: URNs of the resources that it depends on.
    """

    urn: str
    type: str
    id: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    pending: bool = False
    parent: str = ""
    deleted_with: str = ""
    dependencies: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The resource's name, the last part of its URN."""
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True)
class StackState:
    """All resources of a stack.

    Attributes:
        resources: in the state's order; those that only wait for their deletion are left out.
        creating: URNs of the resources whose creation a killed run had begun.
    """

    resources: tuple[Resource, ...] = ()
    creating: frozenset[str] = frozenset()

    @classmethod
    def from_deployment(cls, deployment: Mapping[str, Any] | None) -> StackState:
        """The model of an exported deployment (``pulumi stack export``, field ``deployment``)."""
        content = deployment or {}
        resources = tuple(_resource(each) for each in content.get("resources") or () if not each.get("delete"))
        operations = content.get("pending_operations") or ()
        begun = {str(each["resource"]["urn"]) for each in operations if each.get("type") == "creating"}
        # The engine keeps the operation for good, also once a later run has created the resource.
        return cls(resources, frozenset(begun - {each.urn for each in resources}))

    @classmethod
    def from_outputs(cls, outputs: Mapping[str, Mapping[str, Any]]) -> StackState:
        """The model of ``readStackResourceOutputs``: types and outputs by URN.

        Pending replacements are among them, and can't be told from present resources.
        """
        resources = tuple(
            Resource(urn, str(each["type"]), str(each["outputs"].get("id") or ""), outputs=each["outputs"])
            for urn, each in outputs.items()
        )
        return cls(resources)

    @cached_property
    def _present(self) -> Mapping[tuple[str, str], Resource]:
        return {(each.type, each.name): each for each in self.resources if not each.pending}

    def get(self, kind: str, name: str) -> Resource | None:
        """The resource of this type and name, unless it is pending replacement."""
        return self._present.get((kind, name))

    def has(self, kind: str, name: str) -> bool:
        """Whether there is a resource of this type and name that is not pending replacement."""
        return (kind, name) in self._present

    @cached_property
    def _pending(self) -> frozenset[tuple[str, str]]:
        return frozenset((each.type, each.name) for each in self.resources if each.pending)

    def is_pending(self, kind: str, name: str) -> bool:
        """Whether the resource of this type and name was deleted and not yet created again."""
        return (kind, name) in self._pending

    def of_type(self, kind: str) -> Iterator[Resource]:
        """The resources of a type, without those that are pending replacement."""
        return (each for each in self._present.values() if each.type == kind)

    def ids(self, kind: str) -> frozenset[str]:
        """The ids of the present resources of a type."""
        return frozenset(each.id for each in self.of_type(kind) if each.id)

    def outputs(self, kind: str, name: str) -> Mapping[str, Any]:
        """The outputs of a resource that is present; empty where there is none."""
        found = self.get(kind, name)
        return found.outputs if found else {}

    def is_creating(self, kind: str, name: str) -> bool:
        """Whether a killed run had begun to create the resource of this type and name."""
        return any(urn.rpartition("::")[2] == name and _type_of(urn) == kind for urn in self.creating)

    def cluster_names(self) -> tuple[str, ...]:
        """Names of the stack's clusters."""
        return tuple(each.name for each in self.of_type(CLUSTER))


def _type_of(urn: str) -> str:
    """The type token in a URN, without those of its parents."""
    qualified = urn.split("::")[2] if urn.count("::") >= 3 else ""  # noqa: PLR2004 - urn:pulumi:STACK::PROJECT::TYPE::NAME
    return qualified.rpartition("$")[2]


def _resource(given: Mapping[str, Any]) -> Resource:
    return Resource(
        urn=str(given["urn"]),
        type=str(given["type"]),
        id=str(given.get("id") or ""),
        inputs=given.get("inputs") or {},
        outputs=given.get("outputs") or {},
        pending=bool(given.get("pendingReplacement")),
        parent=str(given.get("parent") or ""),
        deleted_with=str(given.get("deletedWith") or ""),
        dependencies=tuple(given.get("dependencies") or ()),
    )
