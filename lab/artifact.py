"""Things that are slow to make, kept by content under ``$Q8S_CACHE``.

An artifact is a directory made by a function from named inputs. Its key is the hash of those inputs and of the
function's code, so a changed recipe or version makes a new directory and an unchanged one is found again, on any clone.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final

from lab import code, lock
from lab import command as commands
from lab.steps import console

REPOSITORY = Path(__file__).resolve().parent.parent
_BUILD_SECONDS: Final = 5400
"""What the longest step, a build of Kubernetes from nothing, does not take on two busy cores."""


def cache_root() -> Path:
    """The directory that outlives clones: ``$Q8S_CACHE``, by default ``~/.cache/q8s``."""
    return Path(os.environ.get("Q8S_CACHE") or Path.home() / ".cache" / "q8s")


class BuildError(Exception):
    """A build step failed; the message says which, with what, and where its log is."""


@dataclass(frozen=True)
class Builder:
    """What a build function gets: the directory to fill, a log file, and a way to run commands into it."""

    out: Path
    log: Path

    def run(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        limit: float = _BUILD_SECONDS,
    ) -> None:
        """Run a command with its output appended to the log.

        Args:
            command: words.
            cwd: its working directory.
            env: variables beside those of this process.
            stdin: what it reads.
            limit: seconds that it may take.

        Raises:
            BuildError: the command exited non-zero or was not done in time; carries the last lines of the log.
        """
        words = [str(word) for word in command]
        with self.log.open("a") as log:
            log.write(f"+ {' '.join(words)}\n")
            log.flush()
            try:
                commands.run(*words, limit=limit, cwd=cwd, env={**os.environ, **(env or {})}, stdin=stdin, log=log)
            except commands.CommandError as error:
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                raise BuildError(f"{error}\n{tail}\nlog: {self.log}") from None


@dataclass(frozen=True)
class Artifact:
    """A directory under the cache, identified by what it is made from.

    Attributes:
        name: short name, also the folder under the cache.
        build: fills ``Builder.out``; whatever it raises leaves no artifact behind. The code of its module, and of those
            that this one imports, is part of the key: :mod:`lab.code`.
        files: further files (or folders) that it reads; their bytes are part of the key.
        pins: versions and parameters that are part of the key.
        needs: artifacts that must exist first; their keys are part of this one's.
        fetches: what takes its time is the network, not the processor: it is made beside the builds.
        movable: False for what has its own path in it (a virtual environment): built where it stays.
    """

    name: str
    build: Callable[[Builder], None]
    files: Sequence[Path] = ()
    pins: Sequence[str] = ()
    needs: Sequence[Artifact] = ()
    fetches: bool = False
    movable: bool = True

    @cached_property
    def key(self) -> str:
        """First 16 hex digits of the SHA-256 over code, names and bytes, as they are when it is first asked."""
        return self._hashed()

    def _hashed(self) -> str:
        digest = hashlib.sha256(self.name.encode())
        for pin in self.pins:
            digest.update(b"\0pin\0" + pin.encode())
        for path in sorted(_files_of(self.files)):
            digest.update(b"\0file\0" + str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes())
        for module, code_of_it in code.modules(self.module):
            digest.update(f"\0code\0{module}\0{code_of_it}".encode())
        for other in self.needs:
            digest.update(b"\0need\0" + other.key.encode())
        return digest.hexdigest()[:16]

    @property
    def module(self) -> Path:
        """The file in which the build function is defined."""
        return Path(inspect.getfile(self.build.func if isinstance(self.build, partial) else self.build))

    @property
    def path(self) -> Path:
        """Where the finished artifact is, whether or not it has been built."""
        return cache_root() / self.name / self.key

    @property
    def is_built(self) -> bool:
        """True when a finished artifact with these very inputs is in the cache."""
        return self.path.is_dir() if self.movable else self._mark.exists()

    @property
    def _mark(self) -> Path:
        """Says that an artifact that was built in place is finished."""
        return self.path.with_name(f"{self.key}.built")

    def ensure(self) -> float | None:
        """Build the artifact unless it is there; needs must be built already.

        Two processes never build the same at once: the second waits, and finds it built.

        Returns:
            Seconds that the build took, or None when it was cached.

        Raises:
            BuildError: the recipe failed, or was edited meanwhile.
            LabError: another process has been building it for longer than any build takes.
        """
        if self.is_built:
            return None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        building = self.path.with_name(f"{self.key}.lock")
        with lock.held(building, f"the build of {self.name}", seconds=_BUILD_SECONDS, waiting=console.print):
            return None if self.is_built else self._make()

    def _make(self) -> float:
        missing = [other.name for other in self.needs if not other.is_built]
        if missing:
            raise BuildError(f"{self.name} needs {', '.join(missing)} first")
        started = time.monotonic()
        parent = self.path.parent
        log = parent / f"{self.key}.log"
        log.unlink(missing_ok=True)
        for killed in parent.glob(f".{self.key}-*"):
            shutil.rmtree(killed)
        if self.movable:
            unfinished = Path(tempfile.mkdtemp(prefix=f".{self.key}-", dir=parent))
            unfinished.chmod(0o755)
            try:
                self.build(Builder(out=unfinished, log=log))
                self._refuse_edited()
                unfinished.rename(self.path)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir()
            self.build(Builder(out=self.path, log=log))
            self._refuse_edited()
            self._mark.touch()
        return time.monotonic() - started

    def _refuse_edited(self) -> None:
        if self._hashed() != self.key:
            raise BuildError(f"what {self.name} is made from was edited while it was built: run the same again")


def prune(wanted: Iterable[Artifact]) -> list[Path]:
    """Remove what the cache holds of these artifacts under other keys than theirs, and what killed builds left.

    Args:
        wanted: all artifacts that are in use.

    Returns:
        What was removed.
    """
    removed = []
    for artifact in wanted:
        for path in sorted(artifact.path.parent.glob("*")):
            if artifact.key not in re.split(r"[.-]", path.name):
                removed.append(path)
                _remove(path)
    return removed


def _remove(path: Path) -> None:
    if path.is_dir():
        # Trees of root's hold files without write permission and millions of names: rm(1) is made for them.
        commands.run("rm", "-rf", "--one-file-system", path, limit=600)
    else:
        path.unlink(missing_ok=True)


def _files_of(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += (
            [each for each in path.rglob("*") if each.is_file() and "__pycache__" not in each.parts]
            if path.is_dir()
            else [path]
        )
    return found
