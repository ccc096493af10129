"""Pulumi stacks in the lab: state, passphrase and configuration of the program under test.

Everything here runs inside the lab's namespace, where OpenStack and the hosts answer.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation

from lab import command, files, layout
from lab.artifact import REPOSITORY

PULUMI_STATE = layout.STATE / "pulumi"
"""Passphrase, plugins' home and file backend of the lab's stacks."""


class LimitedPulumi(automation.PulumiCommand):
    """The Pulumi CLI, interrupted and then killed with all its plugins when a run reaches its limit.

    The SDK waits for ever, and keeps its process to itself; so what it starts is a program that has the limit.
    """

    def __init__(self, root: Path, limit: float) -> None:
        """The CLI.

        Args:
            root: the directory of ``bin/pulumi``.
            limit: seconds that a run may take.
        """
        super().__init__(root=str(root))
        limited = [sys.executable, "-P", command.__file__, f"{limit:g}", self.command]
        # By env, because the SDK puts the directory of an absolute path before all others on PATH.
        self.command, *self._words = ["env", *limited]

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> automation.CommandResult:
        """As the SDK's; the error at the limit says so."""
        # The SDK would put this option before our words.
        words = [*self._words, "--non-interactive", *args]
        return super().run(words, cwd, additional_env, on_output, on_error)


def environment(state: Path = PULUMI_STATE, clouds: Path = layout.CLOUDS_YAML) -> dict[str, str]:
    """What the Pulumi CLI needs in the lab: the regular user's cloud, the file backend, the tools."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    passphrase = state / "passphrase"
    if not passphrase.exists():
        files.write(passphrase, secrets.token_urlsafe(32))
    (state / "backend").mkdir(exist_ok=True)
    return {
        "PATH": f"{layout.TOOLS}:{os.environ['PATH']}",
        "PULUMI_HOME": str(state / "home"),
        # Else attributes are in files of their own, empty for a moment while the engine writes them; who reads
        # the stack's state then gets "failed to load checkpoint: EOF" (gocloud.dev, blob/fileblob/attrs.go).
        "PULUMI_BACKEND_URL": f"file://{state}/backend?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "OS_CLIENT_CONFIG_FILE": str(clouds),
        "OS_CLOUD": layout.CLOUD,
    }


def open_stack(
    name: str,
    config: Mapping[str, Any],
    *,
    program: Path = REPOSITORY,
    state: Path = PULUMI_STATE,
    clouds: Path = layout.CLOUDS_YAML,
    limit: float = 3600,
) -> automation.Stack:
    """The stack of this name with this configuration, made if it is not there.

    A run that was killed leaves its lock behind; it is taken away, so that the next run goes on where that one ended.

    Args:
        name: the stack's name; its configuration is ``Pulumi.<name>.yaml`` beside the program.
        config: whole configuration, structured values as they are; what is not given is dropped.
        program: the directory of ``Pulumi.yaml``.
        state: where passphrase, plugins' home and file backend are.
        clouds: the user's clouds.yaml, with the cloud ``layout.CLOUD`` in it.
        limit: seconds that an update, a preview or any other run of Pulumi may take; then it raises a
            ``CommandError`` of Pulumi's SDK.
    """
    settings = automation.LocalWorkspaceOptions(
        work_dir=str(program),
        env_vars=environment(state, clouds),
        pulumi_command=LimitedPulumi(layout.TOOLS.parent, limit),
    )
    stacks = {each.name for each in automation.LocalWorkspace(**vars(settings)).list_stacks()}
    write_config(program / f"Pulumi.{name}.yaml", config, stack_exists=name in stacks)
    stack = automation.create_or_select_stack(stack_name=name, work_dir=str(program), opts=settings)
    if left_behind(state / "backend/.pulumi/locks/organization" / stack.workspace.project_settings().name / name):
        stack.cancel()
    return stack


def left_behind(locks: Path) -> bool:
    """Whether a stack is locked, and by nothing but processes of this machine that are gone.

    Args:
        locks: the file backend's directory of a stack's locks: a JSON file each, with ``pid`` and ``hostname``.
    """
    held = [json.loads(lock.read_text()) for lock in locks.glob("*.json")]
    return bool(held) and not any(
        lock["hostname"] != socket.gethostname() or Path("/proc", str(lock["pid"])).exists() for lock in held
    )


def write_config(path: Path, config: Mapping[str, Any], *, stack_exists: bool) -> None:
    """Write a stack's configuration file.

    What the file says beside the configuration (the salt of the stack's secrets) is kept where the stack exists, and
    is dropped with a stack that is gone: a new one has a passphrase of its own.
    """
    known = yaml.safe_load(path.read_text()) if stack_exists and path.exists() else {}
    files.write(path, yaml.safe_dump({**known, "config": dict(config)}, sort_keys=False))
