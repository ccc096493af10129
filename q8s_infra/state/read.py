"""Read the state of the running stack: the exported deployment, or its outputs where the Pulumi CLI can't be found."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any, Final

import pulumi

from q8s_infra.state.model import StackState

_SECONDS: Final = 120
"""Limit of an export; that of a state with 5,000 workers takes some seconds."""


def qualified_stack() -> str:
    """The running stack's name with its organization and project, as the Pulumi CLI takes it from anywhere."""
    return f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"


def running_stack() -> StackState:
    """The state that the running ``pulumi up`` or ``preview`` began with.

    ``pulumi stack export`` takes no lock, so it works while the stack is being updated.
    """
    name = qualified_stack()
    if (deployment := _exported(name)) is not None:
        return StackState.from_deployment(deployment)
    pulumi.log.warn(
        "the stack's state could not be exported (is the Pulumi CLI on PATH?): an interrupted replacement can't be "
        "told from an instance that was deleted outside Pulumi"
    )
    answer = pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": name})
    return StackState.from_outputs(answer.value["outputs"])


def _exported(stack: str) -> dict[str, Any] | None:
    program = shutil.which("pulumi")
    if program is None:
        return None
    # Secrets stay encrypted: nothing here needs them.
    words = [program, "stack", "export", "--non-interactive", "--stack", stack]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=True)
        exported: dict[str, Any] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return exported.get("deployment") or {}
