"""kubectl on the cluster of a stack."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi import automation

from lab import layout
from lab.command import CommandError, run


class KubectlError(Exception):
    """kubectl failed; the message holds its words and what it said."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a kubeconfig of its own, in a file that only root reads."""

    kubeconfig: Path

    @classmethod
    def of(cls, stack: automation.Stack, kubeconfig: Path) -> Kubectl:
        """For the cluster that a stack has made; its kubeconfig is kept in the file given."""
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(str(stack.outputs()["kubeconfig"].value))
        return cls(kubeconfig)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that is to reach the cluster."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def __call__(self, *words: str, limit: float = 600) -> str:
        """What kubectl prints.

        Args:
            words: kubectl's own.
            limit: seconds that it may take, its waiting included.

        Raises:
            KubectlError: it failed, or was not done in time.
        """
        try:
            return run(layout.TOOLS / "kubectl", *words, env=self.environment, limit=limit).stdout
        except CommandError as error:
            raise KubectlError(str(error)) from None

    def get(self, *words: str) -> Any:
        """Objects, as kubectl gives them in JSON."""
        return json.loads(self("get", *words, "-o", "json"))

    def ready(self) -> dict[str, str]:
        """Each node's Ready condition: True, False or Unknown."""
        return {
            node["metadata"]["name"]: condition["status"]
            for node in self.get("nodes")["items"]
            for condition in node["status"]["conditions"]
            if condition["type"] == "Ready"
        }
