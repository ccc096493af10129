"""The stack that a command acts on, in every form that Pulumi takes, and its configuration of OpenStack."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pulumi import automation

from q8s_infra.cloud import OpenStackCloud, connect
from q8s_infra.connection import SETTINGS
from q8s_infra.openstack_project import mismatch, recorded
from q8s_infra.spec import Mistake, SpecErrors
from q8s_infra.ssh import NoState
from q8s_infra.state.model import StackState

_SECONDS: Final = 300
_PREFIX: Final = "openstack:"


class WrongCloud(Exception):
    """The credentials are of another project or region than the stack's."""


@dataclass(frozen=True)
class SelectedStack:
    """A stack of this directory.

    Attributes:
        name: as Pulumi takes it: ``dev``, ``org/dev`` or ``org/project/dev``.
    """

    name: str

    @property
    def short(self) -> str:
        """The name without organization and project."""
        return self.name.rpartition("/")[2]

    @property
    def file(self) -> Path:
        """The stack's configuration."""
        return Path(f"Pulumi.{self.short}.yaml")

    def settings(self) -> Mapping[str, str]:
        """``openstack:*`` of its configuration, without the prefix."""
        known = {name.removeprefix(_PREFIX): value for name, value in self._config().items()}
        return {name: str(known[name]) for name in SETTINGS if known.get(name) is not None}

    def connect(self, deployment: Mapping[str, Any] | None = None, *, missing: bool = False) -> OpenStackCloud:
        """The cloud that Pulumi acts in for this stack.

        Args:
            deployment: the stack's state; None where it need not be in the same project.
            missing: what is not found counts as lost, so the endpoint has to be the same, too.

        Raises:
            SpecErrors: there is no such cloud, or it refuses the credentials.
            WrongCloud: the credentials are of another project or region than the stack's.
        """
        cloud = connect(self.settings())
        if deployment is not None:
            created_in = recorded(StackState.from_deployment(deployment))
            if wrong := mismatch(created_in, cloud.project, missing=missing):
                raise WrongCloud(wrong)
        return cloud

    def deployment(self) -> dict[str, Any]:
        """The stack's state, secrets encrypted.

        Raises:
            NoState: there is no such stack.
        """
        exported: dict[str, Any] = json.loads(self._pulumi("export"))
        return exported

    def replace_deployment(self, exported: Mapping[str, Any]) -> None:
        """Write a state that :meth:`deployment` returned and that was changed.

        Raises:
            NoState: Pulumi refuses it.
        """
        self._pulumi("import", json.dumps(exported))

    @contextmanager
    def running(self) -> Iterator[automation.Stack]:
        """The stack for Pulumi's own operations; the user's selection is the same afterwards."""
        workspace = automation.LocalWorkspace(work_dir=".")
        before = workspace.stack()
        try:
            yield automation.select_stack(self.name, work_dir=".")
        finally:
            if before is not None:
                workspace.select_stack(before.name)

    def _config(self) -> Mapping[str, Any]:
        """The stack's and its project's configuration; only the file's plain values before the stack is made."""
        try:
            known = automation.LocalWorkspace(work_dir=".").get_all_config(self.name)
            return {name: each.value for name, each in known.items() if name.startswith(_PREFIX)}
        except (automation.CommandError, OSError):
            return _plain_values(self.file)

    def _pulumi(self, verb: str, given: str | None = None) -> str:
        words = ["pulumi", "stack", verb, "--non-interactive", "--stack", self.name]
        try:
            done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=_SECONDS, check=True)
        except subprocess.CalledProcessError as error:
            raise NoState(str(error.stderr).strip()) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoState(f"pulumi stack {verb}: {error}") from None
        return done.stdout


def settings_of(file: Path) -> Mapping[str, str]:
    """``openstack:*`` of a stack's file, without the prefix; nothing of another kind of file."""
    known = {name.removeprefix(_PREFIX): value for name, value in _plain_values(file).items()}
    return {name: str(known[name]) for name in SETTINGS if known.get(name) is not None}


def _plain_values(file: Path) -> Mapping[str, Any]:
    """The values in a stack's file that are not encrypted."""
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else None
    given = content.get("config") if isinstance(content, dict) else None
    values = given if isinstance(given, dict) else {}
    return {name: value for name, value in values.items() if not isinstance(value, dict)}


def selected(given: str | None) -> SelectedStack:
    """The stack that ``--stack`` names, or the one that Pulumi has selected.

    Raises:
        SpecErrors: none is named and none is selected.
    """
    if given:
        return SelectedStack(given)
    try:
        current = automation.LocalWorkspace(work_dir=".").stack()
    except (automation.CommandError, OSError):
        current = None
    if current is None:
        text = "is missing, and Pulumi has no stack selected: name one, or run pulumi stack select"
        raise SpecErrors([Mistake("--stack", None, text)])
    return SelectedStack(current.name)
