"""When an object is ready, for the kinds whose readiness can be told from themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]


def waiting_for(live: Object) -> str | None:
    """What an object still waits for.

    Returns:
        A line for the user; None when it is ready, as every kind without a rule of its own is at once.
    """
    rule = _RULES.get(live["kind"])
    return rule(live) if rule else None


def _number(live: Object, *path: str) -> int:
    found: Any = live
    for key in path:
        found = (found or {}).get(key)
    return int(found or 0)


def _condition(live: Object, kind: str) -> Object:
    conditions = (live.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def _is_observed(live: Object) -> bool:
    return _number(live, "status", "observedGeneration") >= _number(live, "metadata", "generation")


def _deployment(live: Object) -> str | None:
    wanted = int((live.get("spec") or {}).get("replicas", 1))
    updated = _number(live, "status", "updatedReplicas")
    available = _number(live, "status", "availableReplicas")
    total = _number(live, "status", "replicas")
    if not _is_observed(live):
        return "the controller to see the Deployment"
    progress = _condition(live, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return f"pods, past the progress deadline: {progress.get('message', '')}"
    if updated >= wanted and available >= wanted and total <= updated:
        return None
    return f"pods: {updated} of {wanted} updated, {available} available, {total - updated} old ones left"


def _daemon_set(live: Object) -> str | None:
    wanted = _number(live, "status", "desiredNumberScheduled")
    updated = _number(live, "status", "updatedNumberScheduled")
    available = _number(live, "status", "numberAvailable")
    if not _is_observed(live):
        return "the controller to see the DaemonSet"
    strategy = ((live.get("spec") or {}).get("updateStrategy") or {}).get("type")
    if available >= wanted and (updated >= wanted or strategy == "OnDelete"):
        return None
    return f"pods: {updated} of {wanted} updated, {available} available"


def _stateful_set(live: Object) -> str | None:
    wanted = int((live.get("spec") or {}).get("replicas", 1))
    ready = _number(live, "status", "readyReplicas")
    updated = _number(live, "status", "updatedReplicas")
    if not _is_observed(live):
        return "the controller to see the StatefulSet"
    return None if ready >= wanted and updated >= wanted else f"pods: {updated} of {wanted} updated, {ready} ready"


def _pod(live: Object) -> str | None:
    phase = (live.get("status") or {}).get("phase")
    if phase == "Succeeded" or _condition(live, "Ready").get("status") == "True":
        return None
    reason = _condition(live, "Ready").get("message") or _condition(live, "PodScheduled").get("message") or ""
    return f"the pod to be ready ({phase or 'no phase yet'}{': ' + reason if reason else ''})"


def _job(live: Object) -> str | None:
    if _condition(live, "Complete").get("status") == "True":
        return None
    failed = _condition(live, "Failed")
    return f"the job, which failed: {failed.get('message', '')}" if failed else "the job to complete"


def _namespace(live: Object) -> str | None:
    phase = (live.get("status") or {}).get("phase")
    return None if phase == "Active" else f"the namespace to be active ({phase or 'no phase yet'})"


def _definition(live: Object) -> str | None:
    established = _condition(live, "Established").get("status") == "True"
    return None if established else "the custom resource definition to be established"


_RULES: Final[dict[str, Callable[[Object], str | None]]] = {
    "CustomResourceDefinition": _definition,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Job": _job,
    "Namespace": _namespace,
    "Pod": _pod,
    "StatefulSet": _stateful_set,
}
