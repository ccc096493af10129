from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import layout, remains
from lab.artifact import REPOSITORY

DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of a lab in a folder of the test's, that does not end when asked."""
    monkeypatch.setattr(layout, "RUN", tmp_path)
    monkeypatch.setenv(remains.MARK, "")
    remains.mark()
    process = subprocess.Popen(["python3", "-c", DEAF], executable=sys.executable, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait(10)
    process.stdout.close()


def test_a_process_is_found_by_its_mark_and_ended(marked: subprocess.Popen[str]) -> None:
    found = remains.processes()
    assert found[marked.pid] == f"python3 -c {DEAF}"
    assert os.getpid() not in found
    assert remains.end(found, grace=0.3) == set()
    assert marked.wait(10) == -9
    assert remains.processes() == {}


def test_a_process_that_lost_its_mark_is_found_by_its_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(layout, "RUN", tmp_path)
    monkeypatch.setenv(remains.MARK, "")
    remains.mark()
    script = "env -i sleep 60 & echo $!; wait"
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        try:
            assert set(remains.processes()) == {parent.pid, child}
        finally:
            assert remains.end({parent.pid, child}) == set()


def test_another_labs_processes_are_not_found(
    marked: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(layout, "RUN", tmp_path / "other")
    assert remains.processes() == {}
    assert marked.poll() is None


def test_processes_are_found_by_their_network_namespace() -> None:
    own = Path("/proc/self/ns/net").stat().st_ino
    assert os.getpid() in remains.within(own)
    assert remains.within(1) == {}


def test_a_plugin_is_orphaned_once_its_engine_is_gone(tmp_path: Path) -> None:
    for name, of in (("pulumi", "bash"), ("pulumi-resource-openstack", "sleep")):
        shutil.copy(shutil.which(of) or "", tmp_path / name)
    script = '"$1/pulumi-resource-openstack" 60 & echo $!; wait'
    words = [str(tmp_path / "pulumi"), "-c", script, "sh", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdout
        plugin = int(engine.stdout.readline())
        try:
            assert remains.orphaned_plugins({engine.pid, plugin, os.getpid()}) == set()
            engine.kill()
            engine.wait(10)
            assert remains.orphaned_plugins({engine.pid, plugin, os.getpid()}) == {plugin}
        finally:
            assert remains.end({engine.pid, plugin}) == set()


def test_mounts_are_listed_innermost_first(tmp_path: Path) -> None:
    (tmp_path / "a folder" / "inner").mkdir(parents=True)
    script = (
        'mount -t tmpfs one "$1/a folder"; mkdir "$1/a folder/inner"; mount -t tmpfs two "$1/a folder/inner"; '
        'exec "$2" -c "import sys, pathlib; from lab import remains; '
        'print(*remains.mounts(pathlib.Path(sys.argv[1])), sep=chr(10))" "$1"'
    )
    words = ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", str(tmp_path), sys.executable]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=30)
    said = done.stdout.splitlines()
    assert said == [f"{tmp_path}/a folder/inner", f"{tmp_path}/a folder"]
    assert remains.mounts(tmp_path) == []
