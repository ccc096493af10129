"""An image of a prepared worker's host, with all that its guests are made of (docs/decisions/0027)."""

from q8s_infra.bake.cloud import Builder
from q8s_infra.bake.host import Baked, BakeError, bake

__all__ = ["BakeError", "Baked", "Builder", "bake"]
