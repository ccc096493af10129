"""What stands in the way of a destroy is named, with the commands that remove it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from q8s_infra import in_use as module
from q8s_infra.drift import Port, Server
from q8s_infra.in_use import EXIT_CODE, deletion, how_to_free, in_use
from tests.unit.hostscript import stand_in

GROUP = "0f0f"
ORPHAN = Port("p1", "demo-x86-0", frozenset({GROUP}), free=False, device="s1")
VIP = Port("p2", "", frozenset({GROUP, "other"}), free=True)
OTHER = Port("p3", "theirs", frozenset({"other"}), free=True)


def test_ports_in_the_way_are_listed_with_their_instances() -> None:
    text = how_to_free([GROUP, "1f1f"], [ORPHAN, VIP], [Server("s1", "demo-x86-0", GROUP)])
    assert "security groups (0f0f, 1f1f) can't be deleted" in text
    assert "port demo-x86-0 (p1) of instance demo-x86-0 (s1)" in text
    assert text.index("openstack server delete s1") < text.index("openstack port delete p1")
    assert "port without a name (p2)" in text


def test_only_ports_in_the_group_count_and_those_that_just_go_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    answers = iter([[ORPHAN, OTHER], [OTHER]])
    assert in_use([GROUP], lambda: next(answers)) == []
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0)
    assert in_use([GROUP, "1f1f"], lambda: [OTHER, VIP]) == [VIP]


@pytest.mark.parametrize(("code", "passes"), [(0, True), (EXIT_CODE, False), (1, True), (127, True)])
def test_a_deletion_is_stopped_only_by_what_stands_in_the_way(code: int, passes: bool, tmp_path: Path) -> None:
    stand_in(tmp_path / "bin", "python3", f'echo "$*"; exit {code}')
    command = ["/bin/sh", "-c", deletion([GROUP, "1f1f"], "dev")]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PATH": f"{tmp_path}/bin"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is passes
    assert done.stderr == f"-m q8s_infra in-use {GROUP} 1f1f --stack dev\n"
