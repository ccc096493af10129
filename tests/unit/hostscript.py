"""Functions of ``hostscripts/`` with a step's documents, and OpenPGP keys for what they check."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from q8s_infra.render.templates import REPOSITORY

LIMIT: Final = 120
# The functions of lib.sh, without what it does to the machine that a step runs on. Retries don't wait.
STEP: Final = """
set -Eeuo pipefail
step=test node=node layer=host step_log=$PWD/log inbox=$PWD apt_keyrings=$PWD/keyrings
touch "$step_log"
exec 4>&2
source <(sed -n '/^# fail MESSAGE/,$p' "$1/lib.sh")
source "$1/apt.sh"
source "$1/guest-image.sh"
sleep() { :; }
shift
"$@"
"""


class Keys:
    """A gpg home with three keys: of the publisher, of its successor, and of somebody else."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("publisher", "successor", "foreign"):
            self.gpg("--pinentry-mode", "loopback", "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign")

    def gpg(self, *words: str | Path) -> bytes:
        """What gpg prints."""
        command = ["gpg", "--homedir", self.home, "--batch", "--quiet", *words]
        return subprocess.run(command, check=True, capture_output=True, timeout=LIMIT).stdout

    def fingerprint(self, name: str) -> str:
        """Of a key itself, not of a subkey."""
        lines = self.gpg("--with-colons", "--list-keys", name).decode().splitlines()
        return next(line.split(":")[9] for line in lines if line.startswith("fpr:"))

    def file(self, *names: str) -> bytes:
        """Keys in one file, ASCII-armoured."""
        return self.gpg("--armor", "--export", *names)


def step(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A function of a host's with the step's documents in a folder; loopback is reached without a proxy."""
    command = ["bash", "-c", STEP, "bash", REPOSITORY / "hostscripts", *words]
    direct = {**os.environ, "no_proxy": "127.0.0.1"}
    return subprocess.run(command, cwd=folder, env=direct, check=False, capture_output=True, text=True, timeout=LIMIT)


def stand_in(folder: Path, name: str, does: str) -> None:
    """A program in a folder of programs, in the place of the machine's own."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{does}\n")
    (folder / name).chmod(0o755)


def apt_get(folder: Path, does: str = "") -> tuple[str, str]:
    """The words of a command that has no other programs than an ``apt-get`` that notes its last word and does this."""
    programs = folder / "programs"
    stand_in(programs, "apt-get", f'echo "${{@: -1}}" >>{folder}/asked\n{does}')
    return "eval", f"PATH={programs};"


def program(path: Path) -> ModuleType:
    """A program that is a file of its own on its machine."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look for it.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
