"""What still uses a cluster's security group, which OpenStack therefore refuses to delete."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from q8s_infra.drift import Port, Server

EXIT_CODE: Final = 3
"""Exit code of ``python -m q8s_infra in-use`` where something uses the group: the only one that stops a deletion."""
_WAIT_SECONDS: Final = 20
"""How long a port that is just being deleted may still be listed."""
_POLL_SECONDS: Final = 2


def deletion(group: str, stack: str) -> str:
    """The shell command that the stack's state has for the end of the cluster; it passes where it can't be run.

    Args:
        group: id of the security group.
        stack: the stack's name.
    """
    python = "p=.venv/bin/python; [ -x $p ] || p=python3"
    return f"{python}; $p -m q8s_infra in-use {group} --stack {stack} >&2; [ $? -ne {EXIT_CODE} ]"


def in_use(group: str, ports: Callable[[], Iterable[Port]]) -> list[Port]:
    """The ports that have a security group, once those that are just being deleted are gone."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while found := [port for port in ports() if group in port.groups]:
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    return found


def how_to_free(group: str, ports: Iterable[Port], servers: Iterable[Server]) -> str:
    """The error for ports in the way, with the commands that remove them.

    Args:
        group: id of the security group.
        ports: those that have it.
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
        f"the cluster's security group {group} can't be deleted, as these ports use it, which are not in the stack's "
        "state. If nothing lives on them, delete them, then run pulumi destroy again\n" + "\n".join(lines)
    )
