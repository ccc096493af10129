"""Make the Python environment, ``.venv``, from pinned and hashed requirements: ``python3 .ci/environment.py``.

Needs nothing but Python, with which the environment works then. It is kept under ``$Q8S_CACHE`` by its content, so that
another clone with the same requirements has it at once; ``.venv`` is a link to it. Windows has no links for everybody:
there ``.venv`` is the environment itself. Runs in Python 3.9, too, to say there that it is too old (macOS has that).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
VENV: Final = REPOSITORY / ".venv"
REQUIREMENTS: Final = tuple(REPOSITORY / name for name in ("requirements.txt", "requirements-dev.txt"))
OLDEST: Final = (3, 11)
"""``requires-python`` of pyproject.toml."""
INSTALL_SECONDS: Final = 600
"""For the packages of one file."""
LOCK_SECONDS: Final = 900
MARK: Final = "installed"
"""A file in an environment of ours: empty until the environment is whole, then its key."""
WINDOWS: Final = sys.platform == "win32"


class Failed(Exception):
    """The environment could not be made; the message says why, and what the user can do."""


def content_key() -> str:
    """What an environment is known by: the interpreter, whatever path or shim leads to it, and the requirements."""
    digest = hashlib.sha256(f"{sys.version} {sys.base_prefix}\n".encode())
    for path in REQUIREMENTS:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def installed(folder: Path) -> str:
    """The key of the environment in a folder; empty where there is none, or half of one."""
    with suppress(OSError):
        return (folder / MARK).read_text(encoding="utf-8").strip()
    return ""


def run(command: Sequence[str | Path], limit: int = INSTALL_SECONDS) -> None:
    """Run a command for at most so many seconds.

    Raises:
        Failed: it failed or took longer.
    """
    words = [str(word) for word in command]
    try:
        subprocess.run(words, check=True, timeout=limit)
    except subprocess.CalledProcessError as error:
        raise Failed(f"`{' '.join(words)}` exited with {error.returncode}, see above") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"`{' '.join(words)}` took longer than {limit} s") from None


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - exists on Windows only

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - does not exist on Windows

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def lock(path: Path, limit: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a file's lock; the system releases it when the process ends, however it ends.

    Raises:
        Failed: another process has held it for ``limit`` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + limit
    with path.open("a", encoding="utf-8") as file:
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise Failed(f"another process has held {path} for {limit:.0f} s: wait for it, or end it")
            time.sleep(0.2)
        yield


def make(folder: Path, key: str) -> None:
    """Make an environment in a folder, which loses what it had.

    Raises:
        Failed: a package cannot be installed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    run([sys.executable, "-m", "venv", folder])
    python = folder / ("Scripts/python.exe" if WINDOWS else "bin/python")
    for path in REQUIREMENTS:
        run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", path])
    run([python, "-m", "pip", "check", "--quiet"])
    (folder / MARK).write_text(f"{key}\n", encoding="utf-8")


def link(folder: Path) -> None:
    """Let ``.venv`` be a link to an environment."""
    if VENV.is_symlink():
        VENV.unlink()
    elif VENV.exists():
        shutil.rmtree(VENV)
    VENV.symlink_to(folder, target_is_directory=True)


def main() -> None:
    """Make what is not there yet.

    Raises:
        Failed: see its message.
    """
    if sys.version_info < OLDEST:
        oldest, ours = (".".join(map(str, version[:2])) for version in (OLDEST, sys.version_info))
        raise Failed(f"Python {oldest} or newer is needed, {sys.executable} is {ours}: `make venv PYTHON=<newer one>`")
    key = content_key()
    if installed(VENV) == key:
        return
    if VENV.exists() and not VENV.is_symlink() and not (VENV / MARK).exists():
        raise Failed(f"{VENV} is not from here: move it away, then run this again")
    if WINDOWS and Path(sys.prefix).resolve() == VENV.resolve():
        raise Failed("this Python runs in .venv, which is out of date: `deactivate`, then run this again")
    cache = Path(os.environ.get("Q8S_CACHE") or Path.home() / ".cache" / "q8s") / "venv"
    folder = VENV if WINDOWS else cache / key
    with lock(cache / f"{key}.lock"):
        if installed(folder) != key:
            make(folder, key)
    if folder != VENV:
        link(folder)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f".ci/environment.py: {failure}")
