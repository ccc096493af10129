"""Runs that end before their time: the next one completes, and no step runs twice at once."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from openstack.connection import Connection

from tests.lab.conftest import Cluster, meanwhile
from tests.lab.test_cluster import eventually
from tests.lab.test_cluster_changes import ADDED, tokens

pytestmark = [pytest.mark.full, pytest.mark.timeout(7200)]

SECONDS = {2: 45, 1: 15}
"""About as long as a second worker takes to come, from a state, and to go, by the number of workers then."""
UNIT = re.compile(rb"/run/q8s/([a-z0-9-]+)\.\w+/work/step-unit\.sh")


def steps() -> dict[str, set[int]]:
    """The steps that run on all hosts of the machine: processes of their units by the steps' keys."""
    found: dict[str, set[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            # The unit's first process, and not the children that it forks, which look the same.
            match = UNIT.search(b" ".join(words[:2]))
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if match and Path(f"/proc/{parent}/comm").read_text().strip() == "systemd":
                found.setdefault(match[1].decode(), set()).add(int(path.name))
    return found


@contextmanager
def watched() -> Iterator[set[str]]:
    """Look at all steps until the end; yields those that were seen.

    Raises:
        AssertionError: a step ran twice at once.
    """
    seen: set[str] = set()
    twice: set[str] = set()

    def look() -> None:
        for key, processes in steps().items():
            seen.add(key)
            if len(processes) > 1:
                twice.add(key)

    with meanwhile(look, 0.2):
        yield seen
    assert not twice, f"steps that ran twice at once: {twice}"


def killed(run: subprocess.Popen[bytes]) -> None:
    """The engine and all that it started, without a word."""
    os.killpg(run.pid, signal.SIGKILL)


def interrupted(run: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, and again for who does not wait for running steps."""
    for _ in range(2):
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                run.wait(5)


def cut_off(_: subprocess.Popen[bytes]) -> None:
    """Every SSH connection to a host ends."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (path / "cmdline").read_bytes().startswith(b"sshd: debian"):
                os.kill(int(path.name), signal.SIGKILL)


def test_an_instance_that_a_killed_run_has_asked_for_is_no_obstacle(cluster: Cluster, cloud: Connection) -> None:
    cluster.configure(workers={"x86-small": 2})
    run = cluster.start(stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: cloud.compute.find_server(ADDED))
        killed(run)
        run.wait(60)
        left = cloud.compute.find_server(ADDED)
        cluster.configure(workers={"x86-small": 2})
        assert "a killed run began to create it and no step ran on it" in cluster.up()
        assert cloud.compute.find_server(ADDED).id != left.id
        assert cluster.kubectl.ready()[ADDED] == "True"
    finally:
        cluster.configure()
        cluster.up()
    assert not cloud.compute.find_server(ADDED)
    assert not list(cloud.network.ports(name=ADDED))


def test_a_worker_that_goes_before_its_run_saw_it_ready_leaves_no_node(cluster: Cluster) -> None:
    cluster.configure(workers={"x86-small": 2})
    run = cluster.start(stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: ADDED in cluster.nodes(), seconds=300)
        killed(run)
        run.wait(60)
        assert ADDED in cluster.nodes()
    finally:
        cluster.configure()
        cluster.up()
    assert ADDED not in cluster.nodes()
    assert cluster.preview() == {"delete": {f"command:remote:Command::{ADDED}-leaves"}}
    cluster.up()
    assert cluster.preview() == {}


@pytest.mark.parametrize(("end", "times"), [(killed, 10), (interrupted, 5), (cut_off, 5)])
def test_the_next_run_completes(cluster: Cluster, end: Callable[[subprocess.Popen[bytes]], None], times: int) -> None:
    seed = int(os.environ.get("Q8S_SEED") or time.time())
    print(f"Q8S_SEED={seed}")
    moments = random.Random(seed)
    accepted = tokens(cluster)
    try:
        with watched() as seen:
            for number in range(times):
                count = 2 - number % 2
                cluster.configure(workers={"x86-small": count})
                run = cluster.start(stdout=subprocess.DEVNULL)
                moment = moments.uniform(1, SECONDS[count])
                with suppress(subprocess.TimeoutExpired):
                    run.wait(moment)
                while end is cut_off and run.poll() is None and not steps():
                    # Without a step there is no connection to cut.
                    time.sleep(0.1)
                found = sorted(steps()) or ("between two steps" if run.poll() is None else "over")
                print(f"{count} workers, {end.__name__} after {moment:.1f} s: {found}")
                if run.poll() is None:
                    end(run)
                run.wait(300)

                cluster.configure(workers={"x86-small": count})
                cluster.up()
                assert (ADDED in cluster.nodes()) == (count > 1)
                assert set(cluster.kubectl.ready().values()) == {"True"}
                assert cluster.preview() == {}
                assert tokens(cluster) == accepted
        assert f"{ADDED}-host" in seen
        assert not steps()
    finally:
        cluster.configure()
        cluster.up()
