"""Flannel's CNI plugin waits for flanneld, where a pod is added, and is as it is otherwise."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from q8s_infra.components import flannel
from q8s_infra.render.templates import text

GIVEN = '{"type": "flannel"}'


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Where a node's files are, as the DaemonSet's first container installs them; the plugin says what it got."""
    settings = tmp_path / "etc/kube-flannel"
    for folder in (settings, tmp_path / "opt/cni/bin", tmp_path / "etc/cni/net.d", tmp_path / "run/flannel"):
        folder.mkdir(parents=True)
    (settings / "cni.sh").write_text(text("flannel-cni.sh").replace("/run/flannel", f"{tmp_path}/run/flannel"))
    (settings / "cni-conf.json").write_text(GIVEN)
    plugin = tmp_path / "flannel"
    plugin.write_text('#!/bin/sh\necho "$CNI_COMMAND"\ncat\n')
    here = flannel._INSTALL
    for folder in ("/opt/", "/etc/", "/flannel "):
        here = here.replace(f" {folder}", f" {tmp_path}{folder}")
    subprocess.run(["sh", "-ec", here], check=True, timeout=10)
    return tmp_path


def called(root: Path, command: str) -> subprocess.Popen[str]:
    """The plugin, called for a pod."""
    process = subprocess.Popen(
        [root / "opt/cni/bin/flannel"],
        env={"CNI_COMMAND": command, "PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(GIVEN)
    process.stdin.close()
    return process


def said(process: subprocess.Popen[str]) -> str:
    """What it printed until its end."""
    assert process.stdout is not None
    with process.stdout as out:
        printed = out.read()
    assert process.wait(timeout=10) == 0
    return printed


def test_what_is_installed_is_whole_and_nothing_else_stays(installed: Path) -> None:
    assert sorted(each.name for each in (installed / "opt/cni/bin").iterdir()) == ["flannel", "flannel-plugin"]
    assert [each.name for each in (installed / "etc/cni/net.d").iterdir()] == ["10-flannel.conflist"]
    assert (installed / "etc/cni/net.d/10-flannel.conflist").stat().st_mode & 0o777 == 0o644


def test_a_pod_is_added_once_flanneld_has_said_what_the_network_is(installed: Path) -> None:
    process = called(installed, "ADD")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.7)
    (installed / "run/flannel/subnet.env").write_text("FLANNEL_MTU=1450\n")
    assert said(process) == f"ADD\n{GIVEN}"


def test_a_pod_goes_at_any_time(installed: Path) -> None:
    assert said(called(installed, "DEL")) == f"DEL\n{GIVEN}"


def test_where_flanneld_does_not_come_the_plugin_says_so_itself(installed: Path) -> None:
    plugin = installed / "opt/cni/bin/flannel"
    plugin.write_text(plugin.read_text().replace("tries=150", "tries=2"))
    assert said(called(installed, "ADD")) == f"ADD\n{GIVEN}"
