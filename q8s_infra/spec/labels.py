"""Nodes' labels and taints: what Kubernetes takes, and what is not the user's to set.

Source of the forms: "Labels and Selectors" of the Kubernetes documentation; of the keys: its "Well-Known Labels,
Annotations and Taints", and kubelet's updateDefaultLabels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator

from q8s_infra.spec.errors import of_fields

_OWN_PREFIX: Final = "q8s.io/"
_PREFIX_MAX: Final = 253
_DNS_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_KEY: Final = re.compile(rf"(?P<prefix>{_DNS_LABEL}(\.{_DNS_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_KUBELETS: Final = frozenset(
    {
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
    }
)
_CONTROL_PLANES: Final = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})
_CONTROLLERS: Final = frozenset(
    {
        *(
            f"node.kubernetes.io/{name}"
            for name in (
                "disk-pressure",
                "memory-pressure",
                "network-unavailable",
                "not-ready",
                "pid-pressure",
                "unreachable",
                "unschedulable",
            )
        ),
        "node.cloudprovider.kubernetes.io/uninitialized",
    }
)


def _is_key(key: str) -> bool:
    match = _KEY.fullmatch(key)
    return match is not None and len(match["prefix"] or "") <= _PREFIX_MAX + 1


def _label_key(key: str) -> str:
    if not _is_key(key):
        raise ValueError(
            "a label's key is [prefix/]name, the name of letters, digits, '-', '_' and '.', 63 characters at most, "
            "and the prefix a domain in lower case"
        )
    if key.startswith(_OWN_PREFIX):
        raise ValueError(f"labels that begin with {_OWN_PREFIX} are set by this program, take a prefix of your own")
    if key in _KUBELETS:
        raise ValueError("is set by kubelet itself, which would overwrite it: take a label of your own")
    if key in _CONTROL_PLANES:
        raise ValueError("is what control planes are known by, and these nodes are workers: take a label of your own")
    return key


def _label_value(given: Any) -> str:
    if isinstance(given, float):
        raise ValueError(f"is read as the number {given}: write it in quotes, as 1.10 without them is 1.1")
    value = given if isinstance(given, str) else str(given).lower() if isinstance(given, bool) else str(given)
    if given is None or not _VALUE.fullmatch(value):
        raise ValueError("a label's value is of letters, digits, '-', '_' and '.', 63 characters at most")
    return value


def _parts(taint: str) -> tuple[str, str, str]:
    """Key, value and effect."""
    pair, _, effect = taint.rpartition(":")
    key, _, value = pair.partition("=")
    return key, value, effect


def _taint(taint: str) -> str:
    key, value, effect = _parts(taint)
    if effect not in _EFFECTS or not _is_key(key) or not _VALUE.fullmatch(value):
        raise ValueError(f"a taint is key[=value]:effect, the effect one of {', '.join(_EFFECTS)}")
    if key.startswith(_OWN_PREFIX):
        raise ValueError(f"taints that begin with {_OWN_PREFIX} are this program's own, take a prefix of your own")
    if key in _CONTROLLERS:
        raise ValueError("is set and removed by Kubernetes' own controllers: take a taint of your own")
    return taint


def _each_once(taints: tuple[str, ...]) -> tuple[str, ...]:
    """Refuses a second taint of one key and effect, as Kubernetes does."""
    if mistakes := [*_repeated(taints)]:
        raise of_fields(mistakes)
    return taints


def _repeated(taints: tuple[str, ...]) -> Iterator[str]:
    seen: dict[tuple[str, str], str] = {}
    for at, taint in enumerate(taints):
        key, _, effect = _parts(taint)
        if (key, effect) in seen:
            yield f"{at}: {taint} has the key and the effect of {seen[key, effect]}, and a node has one of them only"
        seen.setdefault((key, effect), taint)


LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, BeforeValidator(_label_value)]
Taint = Annotated[str, AfterValidator(_taint)]
Taints = Annotated[tuple[Taint, ...], AfterValidator(_each_once)]
