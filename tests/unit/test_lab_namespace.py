"""The lab's namespace, made for real in folders of its own and without any service."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.artifact import REPOSITORY

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are made by root"),
    pytest.mark.timeout(60),
]
Environment = dict[str, str]


def python(environment: Environment, statement: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"from lab import namespace\n{statement}"],
        env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    """A lab's variables; its namespace is there."""
    variables = {**os.environ, "Q8S_LAB_RUN": str(tmp_path / "run"), "PYTHONPATH": str(REPOSITORY)}
    try:
        python(variables, "namespace.create()")
        yield variables
    finally:
        python(variables, "namespace.remove()")
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def enter(environment: Environment, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", "enter", *words],
        env=environment, cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_entering_keeps_folder_variables_words_and_exit_code(environment: Environment, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    script = 'pwd; echo "$GIVEN"; echo "$*"; exit 7'
    done = enter({**environment, "GIVEN": "some thing"}, folder, "sh", "-c", script, "sh", "--wipe", "--", "-n")
    assert done.stdout.splitlines() == [str(folder), "some thing", "--wipe -- -n"]
    assert done.returncode == 7


def test_it_is_a_network_of_its_own_with_its_own_sysfs(environment: Environment, tmp_path: Path) -> None:
    done = enter(environment, tmp_path, "sh", "-c", "readlink /proc/self/ns/net; ls /sys/class/net")
    net, *interfaces = done.stdout.split()
    assert net != str(Path("/proc/self/ns/net").readlink())
    assert interfaces == ["lo"]


def test_names_of_network_namespaces_stay_inside(environment: Environment, tmp_path: Path) -> None:
    name = f"q8s-test-{os.getpid()}"
    assert enter(environment, tmp_path, "ip", "netns", "add", name).returncode == 0
    assert not Path("/run/netns", name).exists()
    assert enter(environment, tmp_path, "ip", "netns", "delete", name).returncode == 0


def test_entering_twice_stays_where_it_is(environment: Environment, tmp_path: Path) -> None:
    inner = f"cd {REPOSITORY} && {sys.executable} -m lab enter readlink /proc/self/ns/net"
    done = enter(environment, tmp_path, "sh", "-c", f"readlink /proc/self/ns/net; {inner}")
    assert len(set(done.stdout.split())) == 1, done.stderr
    assert done.returncode == 0


def test_making_it_again_changes_nothing(environment: Environment) -> None:
    assert python(environment, "print(namespace.create())") == "False"


def test_it_is_not_removed_from_inside(environment: Environment, tmp_path: Path) -> None:
    script = f"cd {REPOSITORY} && {sys.executable} -m lab down"
    done = enter(environment, tmp_path, "sh", "-c", script)
    assert done.returncode == 1
    assert "leave it first" in done.stdout
    assert python(environment, "print(namespace.exists())") == "True"
