"""A dependency of the engine's that the SDK does not follow.

The SDK looks for cycles by walking all dependencies of a resource, recursively (pulumi 3.259,
``runtime/resource_cycle_breaker.py``): a rolling replacement in which each of some hundred workers waits for the one
before ends in a RecursionError, and takes time that grows with its square.
"""

from __future__ import annotations

import pulumi


class Before(pulumi.CustomResource):
    """Stands for another resource in ``depends_on``; the engine gets the other one's URN.

    Nothing else may depend on the resource that it stands for in a way that leads back: no cycle is found here.
    """

    def __init__(self, other: pulumi.Resource) -> None:
        """Stand for a resource.

        Args:
            other: the resource to wait for.
        """
        super().__init__(t="", name="", props={}, opts=None, dependency=True)
        self.__dict__["urn"] = other.urn
