"""The program as a stack of the real engine's, on a site that is a folder: run, edited, copied, and looked at."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import layout, scale
from lab.artifact import REPOSITORY
from lab.stack import environment, write_config
from tests.engine.folder_site import VERSIONS, Folder

STACK = "test"
_SECONDS = 240
_PROGRAM = """
import runpy, sys
sys.path.insert(0, {repository!r})
from pathlib import Path
from tests.engine.folder_site import install
install(Path({site!r}))
runpy.run_path({main!r}, run_name="__main__")
"""


class EngineStack:
    """A stack below a folder, with its state, its program and its site."""

    def __init__(self, root: Path) -> None:
        self.root, self.program = root, root / "program"
        self.site = Folder(root / "site")
        for folder in (self.program, root / "bin", root / "state"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.program / "Pulumi.yaml").write_text("name: q8s\nruntime: python\n")
        main = {"repository": str(REPOSITORY), "site": str(self.site.root), "main": str(REPOSITORY / "__main__.py")}
        (self.program / "__main__.py").write_text(_PROGRAM.format(**main))
        for package in VERSIONS:
            plugin = root / "bin" / f"pulumi-resource-{package}"
            start = (
                f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import tests.engine.folder_site as it; it.main()"
            )
            words = shlex.join([sys.executable, "-P", "-c", start, package])
            plugin.write_text(
                f'#!/bin/sh\nexport Q8S_TEST_SITE={shlex.quote(str(self.site.root))}\nexec {words} "$@"\n'
            )
            plugin.chmod(0o755)

    def copy(self, root: Path) -> EngineStack:
        """The same stack elsewhere, with a state and a site of its own."""
        for name in ("state", "site"):
            shutil.copytree(self.root / name, root / name)
        copied = EngineStack(root)
        shutil.copy(self.program / f"Pulumi.{STACK}.yaml", copied.program)
        return copied

    def configure(self, workers: int = 1, **changes: Any) -> None:
        """Describe the smallest cluster with so many x86_64 workers, some fields of their type or others changed.

        Args:
            workers: their count.
            changes: fields of the worker's type; ``cluster`` has fields of the cluster.
        """
        cluster = {"name": "test", "workers": {"x86-small": workers}, **changes.pop("cluster", {})}
        config = scale.description("dev", **cluster)
        del config["q8s:offline"]
        config["q8s:cluster"]["nodeTypes"]["x86-small"].update(changes)
        path = self.program / f"Pulumi.{STACK}.yaml"
        write_config(path, config, stack_exists=path.exists())

    def pulumi(self, *words: str, fails: bool = False, given: str | None = None) -> str:
        """Run Pulumi on the stack; its output, errors too. Asserts that it fails, or does not."""
        known = environment(self.root / "state")
        variables = {**os.environ, **known, "PATH": f"{self.root / 'bin'}:{known['PATH']}", "NO_COLOR": "1"}
        command = [str(layout.TOOLS / "pulumi"), "--non-interactive", "--color=never", *words]
        done = subprocess.run(
            command, cwd=self.program, env=variables, input=given, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_SECONDS, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def up(self, *, fails: bool = False) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", STACK, fails=fails)

    def preview(self, *, fails: bool = False) -> str:
        return self.pulumi("preview", "--stack", STACK, fails=fails)

    def unchanged(self) -> bool:
        """Whether another run would change nothing."""
        self.pulumi("preview", "--expect-no-changes", "--stack", STACK)
        return True

    def state(self) -> dict[str, Any]:
        exported: dict[str, Any] = json.loads(self.pulumi("stack", "export", "--stack", STACK))
        return exported

    def edit_state(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Export the deployment, change it, and import it."""
        exported = self.state()
        changed = {**exported, "deployment": change(exported["deployment"])}
        self.pulumi("stack", "import", "--stack", STACK, given=json.dumps(changed))

    def kill_creating(self, operation: dict[str, Any]) -> None:
        """Leave the state as a run leaves it that is killed while it creates a resource: an import would drop that."""
        (path,) = (self.root / "state/backend/.pulumi/stacks").rglob(f"{STACK}.json")
        checkpoint = json.loads(path.read_text())
        checkpoint["checkpoint"]["latest"]["pending_operations"] = [operation]
        path.write_text(json.dumps(checkpoint))

    def failing(self, *names: str) -> None:
        """Let the site refuse to create or update these resources, and no others."""
        for path in (self.site.root / "fails").glob("*"):
            path.unlink()
        for name in names:
            (self.site.root / "fails" / name).touch()

    def servers(self) -> dict[str, str]:
        """Ids of the instances that exist, by name."""
        return {each["name"]: each["id"] for each in self.site.all("servers")}

    def since(self, mark: int) -> list[str]:
        """What has been done on the site since the journal was so long."""
        return self.site.journal()[mark:]

    def mark(self) -> int:
        return len(self.site.journal())
