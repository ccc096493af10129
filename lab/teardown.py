"""Taking a lab down, whatever is left of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from lab import layout, namespace, remains
from lab.command import CommandError, LabError, run
from lab.hosts import lifecycle
from lab.images import foreign

_DOWN_SECONDS: Final = 600
_WIPE_SECONDS: Final = 600


def stop() -> None:
    """Stop everything inside the namespace, the namespace, and what either has left.

    Raises:
        LabError: something is left; names it.
    """
    namespace.refuse_inside()
    failed = ""
    network = namespace.network()
    if namespace.exists():
        try:
            if namespace.run([sys.executable, "-m", "lab.inside", "down"], limit=_DOWN_SECONDS):
                failed = "see the messages above"
        except CommandError as error:
            failed = str(error)
    clear()
    if network:
        remains.end(remains.orphaned_plugins(remains.within(network)))
    inside = remains.within(network) if network else {}
    if inside:
        failed = f"in its namespace are still {_told(inside)}: end them, then run the same again"
    if failed:
        raise LabError(f"the lab is not wholly down: {failed}")


def clear() -> None:
    """Take away what is left of a lab and of builds, without asking supervisord or needing the namespace.

    Raises:
        LabError: a process or a mount stays; names it.
    """
    lifecycle.stop_all(layout.INSTANCES)
    strays = remains.processes()
    stubborn = remains.end(strays)
    if stubborn:
        raise LabError(f"these do not end: {_told({pid: strays[pid] for pid in stubborn})}")
    namespace.remove()
    for point in remains.mounts(layout.RUN, layout.STATE):
        run("umount", "--lazy", point, limit=60)
    run("rm", "-rf", "--one-file-system", layout.RUN, limit=_WIPE_SECONDS)
    foreign.release()


def _told(processes: Mapping[int, str]) -> str:
    return ", ".join(f"{name} ({pid})" for pid, name in sorted(processes.items()))
