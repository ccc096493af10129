"""Put the Pulumi toolchain into one directory, and nothing there that is to be had officially."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from lab.artifact import REPOSITORY
from lab.pulumi import artifacts
from lab.versions import PULUMI_COMMAND, PULUMI_KUBERNETES, PULUMI_OPENSTACK

# Stand-ins written in Python: executable to module.
_MODULES: Final = {
    "pulumi-language-python": "lab.pulumi.language",
    "pulumi-resource-command": "lab.pulumi.command",
    "pulumi-resource-kubernetes": "lab.pulumi.kubernetes",
}
_BUILT: Final = {"pulumi": artifacts.CLI, "pulumi-resource-openstack": artifacts.OPENSTACK_PLUGIN}
_PLUGIN_VERSIONS: Final = {
    "pulumi-resource-command": PULUMI_COMMAND,
    "pulumi-resource-kubernetes": PULUMI_KUBERNETES,
    "pulumi-resource-openstack": PULUMI_OPENSTACK,
}
_MARK: Final = "# Made by lab.pulumi.install"
_ARTIFACT_KEY: Final = re.compile(r"[0-9a-f]{16}")


def install(bin_dir: Path) -> None:
    """Write the executables that Pulumi needs for this program, those that have no official release here.

    What is found on ``PATH`` (outside ``bin_dir``), or among the engine's own plugins in the right version, is used
    as it is, which a line on standard output tells, and a stand-in for it that an earlier call left is taken away.

    Args:
        bin_dir: directory to put before the others on ``PATH``; made if it is not there.

    Raises:
        BuildError: the CLI or the OpenStack plugin had to be built, and could not be.
    """
    bin_dir.mkdir(parents=True, exist_ok=True)
    for name in (*_BUILT, *_MODULES):
        target = bin_dir / name
        found = official(name, bin_dir)
        if found is not None:
            print(f"{name}: the official one at {found}")
            target.unlink(missing_ok=True)
        elif name in _BUILT:
            artifact = _BUILT[name]
            artifact.ensure()
            _replace_by_link(target, artifact.path / name)
        else:
            _write_wrapper(target, _MODULES[name])


def official(name: str, bin_dir: Path) -> Path | None:
    """Where the official executable of this name is, if this machine has it."""
    kept = [part for part in os.environ.get("PATH", "").split(os.pathsep) if part and not _same(Path(part), bin_dir)]
    for part in kept:
        found = shutil.which(name, path=part)
        # Another checkout's stand-ins may be on the path; they are not official.
        if found and not _is_ours(Path(found)):
            return Path(found)
    version = _PLUGIN_VERSIONS.get(name)
    if version is not None:
        kind, plugin = name.removeprefix("pulumi-").split("-", 1)
        home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
        found_plugin = home / "plugins" / f"{kind}-{plugin}-v{version}" / name
        if found_plugin.exists():
            return found_plugin
    return None


def _is_ours(path: Path) -> bool:
    """True for what this module put somewhere, from this checkout or another."""
    built = path.resolve()
    # <cache>/<name>/<key>/<name>; an official `pulumi` may well be in a folder of its name, but not in one of a key's.
    if built.parent.parent.name in _BUILT and _ARTIFACT_KEY.fullmatch(built.parent.name):
        return True
    with path.open("rb") as file:
        return _MARK.encode() in file.read(256)


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _replace_by_link(target: Path, source: Path) -> None:
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.symlink_to(source)
    fresh.replace(target)


def _write_wrapper(target: Path, module: str) -> None:
    """A script that runs a module of this checkout with this interpreter, from whatever directory it is started."""
    # By sys.path and not by PYTHONPATH, which the commands that a plugin runs would inherit.
    start = (
        f"import runpy, sys; sys.path.insert(0, {str(REPOSITORY)!r}); "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    text = f"""#!/bin/sh
{_MARK}: stand-in for the official {target.name}.
exec {shlex.quote(sys.executable)} -P -c {shlex.quote(start)} "$@"
"""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(0o755)
    # Replaced in one step: a running engine may be about to start it.
    fresh.replace(target)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
