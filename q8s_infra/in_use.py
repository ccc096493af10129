"""What still uses a cluster's security groups, which OpenStack therefore refuses to delete."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from q8s_infra.drift import Port, Server

EXIT_CODE: Final = 3
"""Exit code of ``python -m q8s_infra in-use`` where something uses a group: the only one that stops a deletion."""
_WAIT_SECONDS: Final = 20
"""How long a port that is just being deleted may still be listed."""
_POLL_SECONDS: Final = 2


def deletion(groups: Iterable[str], stack: str) -> str:
    """The shell command that the stack's state has for the end of the cluster; it passes where it can't be run.

    Args:
        groups: ids of the security groups.
        stack: the stack's name.
    """
    python = "p=.venv/bin/python; [ -x $p ] || p=python3"
    return f"{python}; $p -m q8s_infra in-use {' '.join(groups)} --stack {stack} >&2; [ $? -ne {EXIT_CODE} ]"


def in_use(groups: Collection[str], ports: Callable[[], Iterable[Port]]) -> list[Port]:
    """The ports that have one of the security groups, once those that are just being deleted are gone."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while found := [port for port in ports() if port.groups & frozenset(groups)]:
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    return found


def how_to_free(groups: Iterable[str], ports: Iterable[Port], servers: Iterable[Server]) -> str:
    """The error for ports in the way, with the commands that remove them.

    Args:
        groups: ids of the security groups.
        ports: those that have one.
        servers: the project's instances.
    """
    owners = {server.id: server for server in servers}
    lines = []
    for port in ports:
        server = owners.get(port.device)
        used_by = f" of instance {server.name} ({server.id})" if server else ""
        lines.append(f"  port {port.name or 'without a name'} ({port.id}){used_by}")
        if server:
            lines.append(f"    openstack server delete {server.id}")
        lines.append(f"    openstack port delete {port.id}")
    return (
        f"the cluster's security groups ({', '.join(groups)}) can't be deleted, as these ports use them, which are "
        "not in the stack's state. If nothing lives on them, delete them, then run pulumi destroy again\n"
        + "\n".join(lines)
    )
