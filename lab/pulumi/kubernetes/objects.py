"""From live objects to the state that the engine keeps, and back."""

from __future__ import annotations

from typing import Any, Final

from lab.pulumi.kubernetes.rules import TIMEOUT, annotation, bare
from lab.pulumi.wire import Properties, Secret, Value, as_secret, plain

Object = dict[str, Any]

MANAGER: Final = "__fieldManager"
INITIAL_VERSION: Final = "__initialApiVersion"
_SERVER_FIELDS: Final = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")


def identity_of(properties: Properties) -> str:
    """The resource's id: ``namespace/name``, or the name alone."""
    metadata = plain(bare(properties.get("metadata"))) or {}
    namespace, name = metadata.get("namespace"), metadata.get("name")
    return f"{namespace}/{name}" if namespace else str(name)


def parts_of(identity: str) -> tuple[str | None, str]:
    """Namespace (None for what has none) and name out of a resource's id."""
    namespace, _, name = identity.rpartition("/")
    return namespace or None, name


def time_limit(inputs: Properties, timeout: float, default: float) -> float:
    """Seconds to wait: the resource's ``customTimeouts``, else its annotation, else the default."""
    return timeout or float(annotation(inputs, TIMEOUT) or default)


def state_of(live: Object, inputs: Properties, manager: str) -> Properties:
    """What the engine keeps of a live object, with the name under which its fields are managed."""
    state = {**live, MANAGER: manager, INITIAL_VERSION: live["apiVersion"]}
    state["metadata"] = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
    marked: Properties = with_secrets(state, inputs)
    return marked


def with_secrets(state: Value, inputs: Value) -> Value:
    """Mark in the state what is secret in the inputs; a Secret's ``data`` holds what came as ``stringData``."""
    if isinstance(inputs, Secret):
        return as_secret(plain(state))
    if isinstance(state, dict) and isinstance(inputs, dict):
        marked = {key: with_secrets(value, inputs.get(key)) for key, value in state.items()}
        if state.get("kind") == "Secret" and "data" in state:
            marked["data"] = as_secret(plain(state["data"]))
        return marked
    if isinstance(state, list) and isinstance(inputs, list) and len(state) == len(inputs):
        return [with_secrets(one, other) for one, other in zip(state, inputs, strict=True)]
    return state


def projected(inputs: Value, live: Value) -> Value:
    """The inputs with the values that the live object has for them, so that a refresh shows drift."""
    if isinstance(inputs, Secret):
        return Secret(projected(inputs.value, live))
    if isinstance(inputs, dict) and isinstance(live, dict):
        # What the server keeps in another form, as a Secret's `stringData`, stays as it was given.
        return {key: projected(value, live[key]) if key in live else value for key, value in inputs.items()}
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        return [projected(one, other) for one, other in zip(inputs, live, strict=True)]
    return live


def imported(live: Object) -> Properties:
    """Inputs for an imported object: what is not the server's."""
    inputs = {key: value for key, value in live.items() if key != "status"}
    inputs["metadata"] = {key: value for key, value in live["metadata"].items() if key not in _SERVER_FIELDS}
    return inputs
