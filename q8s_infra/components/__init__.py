"""The program's Pulumi components, one noun a file."""

from __future__ import annotations

from q8s_infra.components.cluster import Cluster

__all__ = ["Cluster"]
