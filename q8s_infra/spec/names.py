"""What nodes are called: names that are too long, or the same for two nodes, are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

# libvirt and dnsmasq fail silently past 63 characters, and so does a DNS label.
LONGEST_NAME: Final = 63

_TAKEN: Final = "localhost"


def control_plane_name(cluster: str, ordinal: int, first: str | None) -> str:
    """A control plane's name; the first one may have a name of its own."""
    return (first if ordinal == 0 else None) or f"{cluster}-control-plane-{ordinal}"


def worker_name(cluster: str, node_type: str, ordinal: int) -> str:
    """The name of a type's worker."""
    return f"{cluster}-{node_type}-{ordinal}"


def name_mistakes(cluster: str, first: str | None, control_planes: int, workers: Mapping[str, int]) -> Iterator[str]:
    """What is wrong with the names that nodes would have, each with its field before a colon."""
    names = [control_plane_name(cluster, ordinal, first) for ordinal in range(control_planes)]
    names += [
        worker_name(cluster, kind, ordinal) for kind, count in sorted(workers.items()) for ordinal in range(count)
    ]
    if first == _TAKEN:
        yield f"controlPlanes.name: {first} is every machine's name for itself, take another one"
    if too_long := next((name for name in names if len(name) > LONGEST_NAME), ""):
        yield (
            f"name: {cluster} is too long, or the type's name after it: the node {too_long} would have "
            f"{len(too_long)} characters, at most {LONGEST_NAME} work"
        )
    for name, times in Counter(names).items():
        if times > 1:
            yield f"nodeTypes: two nodes would have the name {name}, rename the type or the control plane"
