"""The configuration file of a stack in the lab."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.stack import left_behind, write_config

CONFIG = {"q8s:cluster": {"name": "demo"}}


def test_the_salt_of_a_living_stack_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.demo.yaml"
    path.write_text(yaml.safe_dump({"encryptionsalt": "v1:old", "config": {"q8s:cluster": {"name": "other"}}}))
    write_config(path, CONFIG, stack_exists=True)
    assert yaml.safe_load(path.read_text()) == {"encryptionsalt": "v1:old", "config": CONFIG}


def test_the_salt_of_a_stack_that_is_gone_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.demo.yaml"
    path.write_text(yaml.safe_dump({"encryptionsalt": "v1:old", "config": {}}))
    write_config(path, CONFIG, stack_exists=False)
    assert yaml.safe_load(path.read_text()) == {"config": CONFIG}


def test_a_first_configuration(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.demo.yaml"
    write_config(path, CONFIG, stack_exists=True)
    assert yaml.safe_load(path.read_text()) == {"config": CONFIG}


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def lock(directory: Path, pid: int, hostname: str | None = None) -> None:
    """Lock a stack as Pulumi's file backend does."""
    said = {"pid": pid, "username": "root", "hostname": hostname or socket.gethostname()}
    (directory / f"{pid}.json").write_text(json.dumps(said))


def test_a_lock_is_left_behind_by_processes_that_are_gone(tmp_path: Path, gone: int) -> None:
    assert not left_behind(tmp_path / "no such directory")
    lock(tmp_path, gone)
    assert left_behind(tmp_path)
    lock(tmp_path, os.getpid())
    assert not left_behind(tmp_path)


def test_a_lock_of_another_machine_is_not_ours_to_judge(tmp_path: Path, gone: int) -> None:
    lock(tmp_path, gone, hostname="elsewhere")
    assert not left_behind(tmp_path)
