"""What a new stack gets of the shipped one, whatever its cloud has: node types, counts and guest images."""

from __future__ import annotations

from typing import Any

from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import read


def shipped() -> dict[str, Any]:
    """The description in ``Pulumi.dev.yaml``, the smallest cluster.

    Raises:
        SpecErrors: the file is away, or no YAML.
    """
    cluster: dict[str, Any] = read(REPOSITORY / "Pulumi.dev.yaml")["cluster"]
    return cluster
