"""The script that makes the Python environment, on a workstation that has no more than Python, make and a shell."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from lab.artifact import REPOSITORY

ON_MACOS = ("awk", "cat", "dirname", "env", "grep", "ls", "mkdir", "rm", "sed", "sh")
"""No flock, timeout or sha256sum; and no options of GNU's own are used of these."""

VENV_STUB = """
import pathlib, sys
python = pathlib.Path(sys.argv[1], "bin/python")
python.parent.mkdir(parents=True)
python.write_text('#!/bin/sh\\necho "$@" >>"$PIP_LOG"\\n[ ! -e "$PIP_FAILS" ] || { echo no such package; exit 1; }\\n')
python.chmod(0o755)
"""
"""Takes the place of the standard library's module: makes an environment whose Python only notes its arguments."""


@dataclass(frozen=True)
class Workstation:
    """A user's machine.

    Attributes:
        home: where everything is.
        pip_log: the arguments of each call of the environment's Python.
        pip_fails: while this exists, nothing can be installed.
    """

    home: Path
    pip_log: Path
    pip_fails: Path

    def clone(self, name: str) -> Path:
        """Another checkout; its path has a space."""
        checkout = self.home / f"{name} clone"
        (checkout / ".ci").mkdir(parents=True)
        for file in ("Makefile", ".ci/environment.py", "requirements.txt", "requirements-dev.txt"):
            shutil.copy(REPOSITORY / file, checkout / file)
        return checkout

    def make(self, checkout: Path, target: str = "venv") -> subprocess.CompletedProcess[str]:
        """Run make with nothing on PATH but what macOS has."""
        environment = {
            "PATH": str(self.home / "bin"),
            "HOME": str(self.home),
            "PYTHONPATH": str(self.home / "stubs"),
            "PIP_LOG": str(self.pip_log),
            "PIP_FAILS": str(self.pip_fails),
        }
        make = shutil.which("make")
        assert make
        return subprocess.run(
            [make, target], cwd=checkout, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def calls(self) -> list[str]:
        return self.pip_log.read_text().splitlines()


@pytest.fixture
def workstation(tmp_path: Path) -> Workstation:
    (tmp_path / "bin").mkdir()
    for tool in ON_MACOS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or "")
    (tmp_path / "bin/python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin/python3").chmod(0o755)
    (tmp_path / "stubs/venv").mkdir(parents=True)
    (tmp_path / "stubs/venv/__init__.py").touch()
    (tmp_path / "stubs/venv/__main__.py").write_text(VENV_STUB)
    return Workstation(tmp_path, tmp_path / "pip.log", tmp_path / "pip.fails")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with a checkout and a cache of its own."""
    spec = importlib.util.spec_from_file_location("environment", REPOSITORY / ".ci/environment.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path / "checkout/.venv")
    monkeypatch.setenv("Q8S_CACHE", str(tmp_path / "cache"))
    return module


def test_hashed_requirements_are_installed_with_what_macos_has(workstation: Workstation) -> None:
    checkout = workstation.clone("first")
    made = workstation.make(checkout)
    assert made.returncode == 0, made.stderr
    assert os.access(checkout / ".venv/bin/python", os.X_OK)
    options = "-m pip install --quiet --no-deps --require-hashes -r"
    assert workstation.calls() == [
        f"{options} {checkout}/requirements.txt",
        f"{options} {checkout}/requirements-dev.txt",
        "-m pip check --quiet",
    ]


def test_the_same_requirements_are_installed_once(workstation: Workstation) -> None:
    first, second = workstation.clone("first"), workstation.clone("second")
    for checkout in (first, first, second):
        assert workstation.make(checkout).returncode == 0
    assert len(workstation.calls()) == 3
    assert (first / ".venv").resolve() == (second / ".venv").resolve()


def test_other_requirements_are_another_environment(workstation: Workstation) -> None:
    checkout = workstation.clone("first")
    assert workstation.make(checkout).returncode == 0
    former = (checkout / ".venv").resolve()
    (checkout / "requirements.txt").write_text("other==1\n")
    assert workstation.make(checkout).returncode == 0
    assert (checkout / ".venv").resolve() != former
    assert len(workstation.calls()) == 6


def test_a_failed_installation_is_reported_and_repeated(workstation: Workstation) -> None:
    checkout = workstation.clone("first")
    workstation.pip_fails.touch()
    failed = workstation.make(checkout)
    assert failed.returncode
    assert "no such package" in failed.stdout
    assert "requirements.txt` exited with 1" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (checkout / ".venv").exists()
    workstation.pip_fails.unlink()
    assert workstation.make(checkout).returncode == 0
    assert (checkout / ".venv/bin/python").exists()


def test_a_foreign_environment_is_not_touched(workstation: Workstation) -> None:
    checkout = workstation.clone("first")
    (checkout / ".venv/lib").mkdir(parents=True)
    refused = workstation.make(checkout)
    assert refused.returncode
    assert "move it away" in refused.stderr
    assert (checkout / ".venv/lib").exists()


def test_make_lists_its_targets_with_what_macos_has(workstation: Workstation) -> None:
    listed = workstation.make(workstation.clone("first"), "help")
    assert "venv          the Python environment, from pinned and hashed requirements" in listed.stdout.splitlines()


def test_an_old_python_is_refused(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "OLDEST", (99, 1))
    with pytest.raises(environment.Failed, match=r"Python 99\.1 or newer is needed, .* `make venv PYTHON="):
        environment.main()


def test_a_lock_that_is_held_is_waited_for_and_named(environment: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "cache/key.lock"
    with environment.lock(path), pytest.raises(environment.Failed, match=str(path)), environment.lock(path, limit=0.3):
        pass
    with environment.lock(path, limit=0):
        pass


def test_a_command_past_its_limit_is_ended(environment: ModuleType) -> None:
    with pytest.raises(environment.Failed, match="took longer than 1 s"):
        environment.run([sys.executable, "-c", "import time; time.sleep(60)"], limit=1)


def test_on_windows_the_folder_itself_is_the_environment(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(environment, "WINDOWS", True)
    monkeypatch.setattr(environment, "run", lambda words: commands.append([str(word) for word in words]))
    for _ in range(2):
        environment.main()
    python = str(environment.VENV / "Scripts/python.exe")
    assert [words[0] for words in commands] == [sys.executable, python, python, python]
    assert commands[0][1:] == ["-m", "venv", str(environment.VENV)]
    assert not environment.VENV.is_symlink()


def test_on_windows_half_an_environment_is_made_again(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise environment.Failed("no such package")

    monkeypatch.setattr(environment, "WINDOWS", True)
    monkeypatch.setattr(environment, "run", fails)
    with pytest.raises(environment.Failed, match="no such package"):
        environment.main()
    monkeypatch.setattr(environment, "run", lambda _: None)
    environment.main()
    assert environment.installed(environment.VENV) == environment.content_key()


def test_on_windows_a_running_python_is_not_replaced(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.VENV.mkdir(parents=True)
    (environment.VENV / "installed").write_text("former\n")
    monkeypatch.setattr(environment, "WINDOWS", True)
    monkeypatch.setattr(sys, "prefix", str(environment.VENV))
    with pytest.raises(environment.Failed, match="deactivate"):
        environment.main()
    assert (environment.VENV / "installed").exists()
