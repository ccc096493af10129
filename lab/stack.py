"""Pulumi stacks in the lab: state, passphrase and configuration of the program under test.

Everything here runs inside the lab's namespace, where OpenStack and the hosts answer.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation

from lab import layout
from lab.artifact import REPOSITORY

PULUMI_STATE = layout.STATE / "pulumi"


def environment() -> dict[str, str]:
    """What the Pulumi CLI needs in the lab: the regular user's cloud, the file backend, the tools."""
    PULUMI_STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
    passphrase = PULUMI_STATE / "passphrase"
    if not passphrase.exists():
        passphrase.touch(mode=0o600)
        passphrase.write_text(secrets.token_urlsafe(32))
    backend = PULUMI_STATE / "backend"
    backend.mkdir(exist_ok=True)
    return {
        "PATH": f"{layout.TOOLS}:{os.environ['PATH']}",
        "PULUMI_HOME": str(PULUMI_STATE / "home"),
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "OS_CLIENT_CONFIG_FILE": str(layout.CLOUDS_YAML),
        "OS_CLOUD": layout.CLOUD,
    }


def open_stack(name: str, config: Mapping[str, Any], *, program: Path = REPOSITORY) -> automation.Stack:
    """The stack of this name with this configuration, made if it is not there.

    Args:
        name: the stack's name; its configuration is ``Pulumi.<name>.yaml`` beside the program.
        config: whole configuration, structured values as they are; what is not given is dropped.
        program: the directory of ``Pulumi.yaml``.
    """
    path = program / f"Pulumi.{name}.yaml"
    known = yaml.safe_load(path.read_text()) if path.exists() else {}
    path.write_text(yaml.safe_dump({**known, "config": dict(config)}, sort_keys=False))
    return automation.create_or_select_stack(
        stack_name=name,
        work_dir=str(program),
        opts=automation.LocalWorkspaceOptions(
            env_vars=environment(), pulumi_command=automation.PulumiCommand(root=str(layout.TOOLS.parent))
        ),
    )
