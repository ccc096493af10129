"""What the original decides from an object alone: its name, what replaces it, and which of its fields are secret."""

from __future__ import annotations

import re
import secrets
from typing import Final

from lab.pulumi.wire import UNKNOWN, Properties, Secret, Value, as_secret, plain

AUTONAMED: Final = "pulumi.com/autonamed"
SKIP_AWAIT: Final = "pulumi.com/skipAwait"
PATCH_FORCE: Final = "pulumi.com/patchForce"
TIMEOUT: Final = "pulumi.com/timeoutSeconds"
PROPAGATION: Final = "pulumi.com/deletionPropagationPolicy"
_KNOWN_ANNOTATIONS: Final = {AUTONAMED, SKIP_AWAIT, PATCH_FORCE, TIMEOUT, PROPAGATION}

# Fields that the API server refuses to change (the original's table, the kinds that a stack may use).
_IMMUTABLE: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "StatefulSet"): (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    ("batch", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
    ("storage.k8s.io", "StorageClass"): ("parameters", "provisioner"),
    ("", "PersistentVolumeClaim"): (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    ("", "ResourceQuota"): ("spec.scopes",),
    ("", "Service"): ("spec.clusterIP",),
}
# Of a pod's specification these alone may change.
_POD_MUTABLE: Final = re.compile(
    r"^spec\.(activeDeadlineSeconds|tolerations.*|(initC|c)ontainers\[\d+\]\.image|terminationGracePeriodSeconds)$"
)


class Rules:
    """The replacement rules under a provider's options.

    Args:
        config_map_mutable: a changed ConfigMap is updated and not replaced.
        secret_mutable: likewise for a Secret.
    """

    def __init__(self, *, config_map_mutable: bool, secret_mutable: bool) -> None:
        self._config_map_mutable = config_map_mutable
        self._secret_mutable = secret_mutable

    def replaces(self, path: str, inputs: Properties) -> bool:
        """True when a change at ``path`` (``spec.selector.matchLabels.app``) needs a new object."""
        group = str(inputs.get("apiVersion", "")).rpartition("/")[0]
        kind = str(inputs.get("kind", ""))
        fields = ["kind", "metadata.name", "metadata.namespace", *_IMMUTABLE.get((group, kind), ())]
        fixed = plain(inputs.get("immutable")) is True
        if not group and kind == "ConfigMap" and (fixed or not self._config_map_mutable):
            fields += ["data", "binaryData"]
        if not group and kind == "Secret":
            fields += ["type"] if self._secret_mutable and not fixed else ["type", "data", "stringData"]
        if not group and kind == "Pod" and path.startswith("spec"):
            return not _POD_MUTABLE.match(path)
        return any(path == field or path.startswith((f"{field}.", f"{field}[")) for field in fields)


def checked(name: str, old: Properties, new: Properties) -> tuple[Properties, list[tuple[str, str]]]:
    """Complete an object's inputs: its name, and secret marks where the kind is a Secret.

    Args:
        name: the resource's name in the program.
        old: the inputs of the former update, empty on creation.
        new: the inputs of this one.

    Returns:
        The inputs, and what is wrong with them: pairs of property path and reason.
    """
    inputs = {key: value for key, value in new.items() if not key.startswith("__")}
    failures: list[tuple[str, str]] = []
    metadata = bare(inputs.get("metadata")) or {}
    if metadata is UNKNOWN:
        return inputs, failures
    metadata = dict(metadata)
    annotations = bare(metadata.get("annotations")) or {}
    if annotations is not UNKNOWN:
        for key in annotations:
            if key.startswith("pulumi.com/") and key not in _KNOWN_ANNOTATIONS:
                failures.append(
                    (f'metadata.annotations["{key}"]', "not supported by the stand-in for the kubernetes plugin")
                )
    if metadata.get("generateName") is not None:
        failures.append(("metadata.generateName", "not supported in Server-Side Apply mode"))
    if metadata.get("name") is None:
        before = bare(old.get("metadata")) or {}
        if is_autonamed(old):
            metadata["name"] = before["name"]
        else:
            metadata["name"] = f"{name.lower()}-{secrets.token_hex(4)}"
        metadata["annotations"] = {**annotations, AUTONAMED: "true"}
    inputs["metadata"] = metadata
    if inputs.get("kind") == "Secret" and inputs.get("apiVersion") == "v1":
        for key in ("data", "stringData"):
            if key in inputs:
                inputs[key] = as_secret(inputs[key])
    return inputs, failures


def bare(value: Value) -> Value:
    """A value without the secret mark around it; marks further in stay."""
    return value.value if isinstance(value, Secret) else value


def annotation(inputs: Properties, key: str) -> str | None:
    """An annotation's text; None when it is absent or not known."""
    found = plain(bare(inputs.get("metadata")) or {})
    found = (found.get("annotations") or {}) if isinstance(found, dict) else {}
    text = found.get(key) if isinstance(found, dict) else None
    return None if text is None or text is UNKNOWN else str(text)


def is_autonamed(inputs: Properties) -> bool:
    """True when the name was made by `checked`."""
    return annotation(inputs, AUTONAMED) == "true"
