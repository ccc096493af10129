"""Versions of what only the lab uses; what a cluster uses is pinned in ``q8s_infra.versions``."""

from __future__ import annotations

from typing import Final

PULUMI: Final = "3.259.0"
