"""A component of the control plane is restarted, and no other process of its name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from q8s_infra.render.templates import REPOSITORY
from tests.unit.hostscript import stand_in, step

CTR = f"""exec {sys.executable} - "$@" <<'PYTHON'
import re, subprocess, sys
from pathlib import Path
home = Path("@HOME@")
records = [line.split() for line in (home / "containers").read_text().splitlines()]
keys = ("io.kubernetes.pod.namespace", "io.kubernetes.pod.name", "io.kubernetes.container.name")
assert sys.argv[1:3] == ["--namespace", "k8s.io"]
if sys.argv[3:5] == ["containers", "list"]:
    wanted = re.findall(r'labels\\."([^"]+)"=="([^"]+)"', sys.argv[-1])
    for container, _, *labels in records:
        if all(dict(zip(keys, labels)).get(key) == value for key, value in wanted):
            print(container)
else:
    print("TASK PID STATUS")
    for container, file, *_ in records:
        # kubelet starts what has ended, and containerd keeps the ended one.
        pid = (home / file).read_text() if (home / file).exists() else ""
        stat = Path(f"/proc/{{pid}}/stat")
        alive = pid and stat.exists() and ") Z" not in stat.read_text()
        print(container, pid or 0, "RUNNING" if alive else "STOPPED")
        if not alive and (home / "restarts").exists():
            new = subprocess.Popen(["sleep", "300"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            (home / file).write_text(str(new.pid))
            with (home / "started").open("a") as started:
                started.write(f"{{new.pid}} ")
PYTHON
"""
CONTAINERS = """\
first own kube-system etcd-node etcd
foreign foreign default etcd-node etcd
other other kube-system backup etcd
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    """A host whose etcd runs, with another pod's container of that name and a process of that name."""
    shutil.copy(shutil.which("sleep") or "", tmp_path / "etcd")
    processes = {name: subprocess.Popen([tmp_path / "etcd", "300"]) for name in ("own", "foreign", "other", "process")}
    for name, process in processes.items():
        (tmp_path / name).write_text(str(process.pid))
    (tmp_path / "containers").write_text(CONTAINERS)
    (tmp_path / "restarts").touch()
    stand_in(tmp_path / "programs", "ctr", CTR.replace("@HOME@", str(tmp_path)))
    stand_in(tmp_path / "programs", "kubectl", "exit 0")
    yield tmp_path
    for process in processes.values():
        process.kill()
        process.wait()
    started = tmp_path / "started"
    for pid in started.read_text().split() if started.exists() else []:
        os.kill(int(pid), signal.SIGKILL)


def restarted(host: Path) -> subprocess.CompletedProcess[str]:
    sourced = f"source {REPOSITORY}/hostscripts/static-pods.sh; progress() {{ :; }}; PATH={host}/programs:$PATH"
    return step(host, "eval", f"{sourced}; restarted etcd")


def is_running(pid: str) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and ") Z" not in stat.read_text()


def test_a_component_is_restarted_and_no_other_of_its_name(host: Path) -> None:
    former = (host / "own").read_text()
    done = restarted(host)
    assert done.returncode == 0, done.stderr
    assert not is_running(former)
    assert is_running((host / "own").read_text())
    assert all(is_running((host / name).read_text()) for name in ("foreign", "other", "process"))


def test_a_component_that_has_ended_is_awaited(host: Path) -> None:
    (host / "own").unlink()
    done = restarted(host)
    assert done.returncode == 0, done.stderr
    assert is_running((host / "own").read_text())


def test_a_component_that_does_not_come_back_is_named(host: Path) -> None:
    stand_in(host / "programs", "ctr", "exit 0")
    done = restarted(host)
    assert done.returncode == 1
    assert "etcd did not start again within 360 s: see crictl logs of its container" in done.stderr
