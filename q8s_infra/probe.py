"""Ask a running host whether a step of the program has ever run on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import asyncssh
import pulumi

from q8s_infra.cloud import OpenStackCloud
from q8s_infra.hosts import HostError, Hosts
from q8s_infra.plan import ClusterPlan
from q8s_infra.remote import FOLDER
from q8s_infra.ssh import NoState, Way, exported, stack_keys
from q8s_infra.state.read import qualified_stack

_BOOT_SECONDS: Final = 180
"""How long hosts that may be booting are asked again, all of a run together."""
_POLL_SECONDS: Final = 5
_QUESTION_SECONDS: Final = 30
_UNTOUCHED: Final = "q8s: no step has run here"
# The scripts come first, before any step; a step's log stays. Only this answer counts: no answer is no evidence.
_TRACES: Final = (
    f"sudo -n sh -c 'for place in {FOLDER} /var/log/q8s /etc/kubernetes/manifests; do "
    f'[ ! -e "$place" ] || exit 9; done; echo "{_UNTOUCHED}"\''
)
_TOUCHED: Final = 9


def never_prepared(planned: ClusterPlan, cloud: OpenStackCloud) -> Callable[[str], bool]:
    """A question to a host, by its name: True where it answers by its pinned host key and has no trace of a step.

    False where it has one, and also where it can't be asked.

    Args:
        planned: the cluster.
        cloud: where its instances are.
    """
    deadline = time.monotonic() + _BOOT_SECONDS

    def asked(name: str) -> bool:
        first = planned.control_planes[0].name
        try:
            keys = stack_keys(exported(qualified_stack()))
        except NoState:
            return False
        hosts = Hosts(Way(planned.spec.access, keys, first, cloud.instances([name, first])), pulumi.log.info)
        pulumi.log.info(f"{name}: asking the host whether anything was installed on it")
        # The program already runs in an event loop.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(_without_trace(hosts, name, deadline))).result()

    return asked


async def _without_trace(hosts: Hosts, name: str, deadline: float) -> bool:
    while True:
        try:
            async with hosts.at(name) as host:
                found = await host.run(_TRACES, timeout=_QUESTION_SECONDS)
            if found.exit_status in (0, _TOUCHED):
                return found.exit_status == 0 and str(found.stdout).strip() == _UNTOUCHED
        except (HostError, TimeoutError, OSError, asyncssh.Error):
            pass
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
