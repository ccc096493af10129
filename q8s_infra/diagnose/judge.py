"""From what was found on a node to the first layer that is broken. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

LAYERS: Final = ("OpenStack", "host", "libvirt", "guest", "kubelet", "Kubernetes")
"""From the ground up; control planes have no libvirt and no guest."""
_FULL_PERCENT: Final = 97


@dataclass(frozen=True)
class Finding:
    """The first broken layer of a node, or none, with what shows it."""

    node: str
    layer: str | None
    evidence: str


@dataclass(frozen=True)
class Facts:
    """What was found on a node.

    Attributes:
        worker: an emulated one.
        status: Nova's word on the instance; None where there is no such instance.
        fault: Nova's reason.
        host: facts of the host, or why it can't be reached.
        guest: facts of the guest, or why it can't be reached; nothing on a control plane.
        ready: the Ready condition of the node object; None where there is no node, a text where nobody could tell.
    """

    worker: bool
    status: str | None
    fault: str
    host: Mapping[str, str] | str
    guest: Mapping[str, str] | str
    ready: Mapping[str, Any] | str | None


def judge(node: str, facts: Facts) -> Finding:
    """The first layer that is broken, from the ground up."""
    checks = [("OpenStack", _openstack(facts)), ("host", _host(facts))]
    if facts.worker:
        checks += [("libvirt", _libvirt(facts)), ("guest", _guest(facts))]
    checks += [("Kubernetes", _joining(facts)), ("kubelet", _kubelet(facts)), ("Kubernetes", _kubernetes(facts))]
    for layer, evidence in checks:
        if evidence:
            return Finding(node, layer, evidence)
    return Finding(node, None, "Ready")


def ready_condition(nodes: str, node: str) -> Mapping[str, Any] | str | None:
    """The Ready condition of a node in what ``kubectl get nodes -o json`` printed; the text where that is an error."""
    try:
        items = json.loads(nodes)["items"]
    except (ValueError, KeyError):
        return nodes.strip().splitlines()[-1] if nodes.strip() else "kubectl printed nothing"
    for item in items:
        if item["metadata"]["name"] == node:
            conditions: list[Mapping[str, Any]] = item["status"].get("conditions", [])
            return next((each for each in conditions if each["type"] == "Ready"), None)
    return None


def forgotten(nodes: str, known: Collection[str]) -> list[Finding]:
    """Nodes that are none of the stack's, and are not Ready: left by a run that was killed after its worker had joined.

    Args:
        nodes: what ``kubectl get nodes -o json`` printed, or an error.
        known: names of the stack's nodes.
    """
    try:
        names = [item["metadata"]["name"] for item in json.loads(nodes)["items"]]
    except (ValueError, KeyError):
        return []
    found = {name: ready_condition(nodes, name) for name in names if name not in known}
    return [
        Finding(
            name,
            "Kubernetes",
            f"no node of this stack, and not Ready: if no machine of yours is behind it, kubectl delete node {name}",
        )
        for name, ready in found.items()
        if not isinstance(ready, Mapping) or ready.get("status") != "True"
    ]


def _openstack(facts: Facts) -> str:
    if facts.status is None:
        return "there is no instance of this name"
    return (
        "" if facts.status == "ACTIVE" else f"the instance is {facts.status}: {facts.fault or 'Nova gives no reason'}"
    )


def _host(facts: Facts) -> str:
    if isinstance(facts.host, str):
        return facts.host
    used = facts.host.get("full", "").strip().removesuffix("%")
    if used.isdigit() and int(used) >= _FULL_PERCENT:
        return f"its disk is {used} % full"
    prepared = facts.host.get("prepared", "")
    if not prepared.endswith("host prepared"):
        return f"not prepared; the last line of the log: {prepared or 'none'}"
    # Only the control plane that makes payloads has this one.
    if (serves := facts.host.get("artifacts", "active")) != "active":
        return f"does not serve payloads (q8s-artifacts is {serves}): {facts.host.get('payload_says', '')}".strip()
    return ""


def _libvirt(facts: Facts) -> str:
    host = facts.host if isinstance(facts.host, Mapping) else {}
    if host.get("network") != "yes":
        return "the network q8s is not active"
    if host.get("balancer") != "active":
        return f"HAProxy, the guest's way to the API, is {host.get('balancer') or 'unknown'}"
    state = host.get("domain", "")
    return "" if state == "running" else f"the domain is {state or 'unknown'}: {host.get('libvirt_says', '')}".strip()


def _guest(facts: Facts) -> str:
    if isinstance(facts.guest, str):
        host = facts.host if isinstance(facts.host, Mapping) else {}
        seen = f"the console's last line: {host.get('console_says') or 'none'}"
        return "; ".join(said for said in (facts.guest, host.get("watch_says", ""), seen) if said)
    joined = facts.guest.get("join_says", "")
    if joined.endswith("q8s: joined"):
        return ""
    by_host = facts.host.get("join_says", "") if isinstance(facts.host, Mapping) else ""
    said = f"did not join: {joined or 'the way into the cluster has not begun'}"
    return f"{said}; its host: {by_host}" if by_host else said


def _joining(facts: Facts) -> str:
    # Between two attempts the unit is activating, too.
    if isinstance(facts.host, Mapping) and facts.host.get("join") in ("activating", "failed"):
        return f"has not joined as a control plane yet: {facts.host.get('join_says', '')}".strip()
    return ""


def _kubelet(facts: Facts) -> str:
    machine = facts.guest if facts.worker else facts.host
    known = machine if isinstance(machine, Mapping) else {}
    for unit in ("containerd", "kubelet"):
        if known.get(unit) != "active":
            return f"{unit} is {known.get(unit) or 'unknown'}: {known.get('kubelet_says', '')}".strip()
    return ""


def _kubernetes(facts: Facts) -> str:
    if isinstance(facts.host, Mapping) and facts.host.get("api", "ok") != "ok":
        return f"the API server is not ready: {facts.host['api']}"
    if facts.ready is None:
        return "there is no node object"
    if isinstance(facts.ready, str):
        return facts.ready
    said = f"Ready is {facts.ready.get('status')}: {facts.ready.get('reason')}, {facts.ready.get('message')}"
    return "" if facts.ready.get("status") == "True" else said
