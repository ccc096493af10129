"""One at a time: locks between checkouts and processes, which tell who holds them.

The kernel lets go of a lock when its holder ends, however it ends (flock(2)).
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lab.services import LabError

_POLL_SECONDS: Final = 0.5
CHECKOUT: Final = Path(__file__).resolve().parent.parent


def _ignore(_: str) -> None:
    """Tell nobody."""


@contextmanager
def held(path: Path, what: str, *, seconds: float, waiting: Callable[[str], None] = _ignore) -> Iterator[None]:
    """Hold a lock while the body runs.

    Args:
        path: the lock's file; it stays.
        what: what is locked, for messages.
        seconds: how long to wait for another holder.
        waiting: is told once that there is one.

    Raises:
        LabError: another process still holds it; says which.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end, told = time.monotonic() + seconds, False
    with path.open("a+") as file:
        while not _taken(file.fileno()):
            file.seek(0)
            holder = file.read().strip() or "another process"
            if time.monotonic() >= end:
                raise LabError(f"{what} is in use by {holder}: wait for its end or end it, then run the same again")
            if not told:
                waiting(f"{what} is in use by {holder}: waiting for at most {seconds:.0f} s")
                told = True
            time.sleep(_POLL_SECONDS)
        file.truncate(0)
        file.write(f"process {os.getpid()} ({' '.join(sys.argv[:4])}) of {CHECKOUT}")
        file.flush()
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
