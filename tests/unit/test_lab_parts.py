"""The lab's small parts: checks of the machine, progress, services' ports, building in order, the command line."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from lab import artifact, checks, cli, code, graph, layout, namespace
from lab import versions as lab_versions
from lab.artifact import Artifact, Builder, BuildError
from lab.services import LabError, accepts, holder, session_members, wait_until
from lab.steps import Steps
from q8s_infra import versions as cluster_versions
from tests.unit.hostscript import stand_in

LOOPBACK = "127.0.0.1"
Usage = namedtuple("Usage", "total used free")


class TestChecks:
    @pytest.fixture(autouse=True)
    def able(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine that can carry the lab, whatever this one is."""
        monkeypatch.setenv("Q8S_CACHE", str(tmp_path))
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 100 * checks.GIB))
        monkeypatch.setattr(checks, "_available_memory", lambda: 100 * checks.GIB)
        monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
        monkeypatch.setattr(checks, "Path", lambda _: tmp_path)

    def refusal(self, *, running: bool = False) -> str:
        with pytest.raises(LabError) as refused:
            checks.machine(running=running)
        return str(refused.value)

    def test_not_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert "run it as root" in self.refusal()

    def test_too_little_disk_and_memory_are_told_at_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 2 * checks.GIB))
        monkeypatch.setattr(checks, "_available_memory", lambda: checks.GIB)
        told = self.refusal()
        assert f"{tmp_path} has 2 GiB free" in told
        assert "set Q8S_CACHE" in told
        assert "1 GiB of memory" in told

    def test_a_running_lab_uses_what_it_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 2 * checks.GIB))
        monkeypatch.setattr(checks, "_available_memory", lambda: checks.GIB)
        checks.machine(running=True)

    def test_missing_tun_driver(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks, "Path", lambda name: tmp_path / f"no{name}")
        assert "/dev/net/tun is missing" in self.refusal()

    def test_missing_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda _: None)
        assert "go is missing" in self.refusal()

    def test_a_failed_package_says_what_apt_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = tmp_path / "bin"
        stand_in(fake, "dpkg-query", "exit 1")
        stand_in(fake, "apt-get", 'case "$*" in *install*) echo "E: no such package" >&2; exit 100;; esac')
        monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
        with pytest.raises(LabError, match=r"(?s)apt-get .*install.*no such package"):
            checks.packages(["nothing-of-the-kind"])

    def test_installed_packages_need_no_apt(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        stand_in(tmp_path, "dpkg-query", "printf installed")
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        assert checks.packages(["anything"]) is False


class TestServices:
    def test_a_port_with_a_listener_is_known_with_it(self) -> None:
        with socket.create_server((LOOPBACK, 0)) as server:
            port = server.getsockname()[1]
            assert accepts(LOOPBACK, port)
            assert f"({os.getpid()})" in str(holder(LOOPBACK, port))
        assert not accepts(LOOPBACK, port)
        assert holder(LOOPBACK, port) is None

    def test_what_is_not_ready_in_time_names_its_log(self) -> None:
        with pytest.raises(LabError, match=r"thing: not ready after 0\.1 s; see /the/log"):
            wait_until("thing", lambda: False, seconds=0.1, log=Path("/the/log"))

    def test_members_of_a_session_have_their_groups(self) -> None:
        words = ["sh", "-c", "sleep 60 & echo; wait"]
        with subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE) as leader:
            assert leader.stdout
            leader.stdout.readline()
            members = session_members(leader.pid)
            assert len(members) == 2
            assert set(members.values()) == {leader.pid}
            os.killpg(leader.pid, 9)


class TestSteps:
    def test_outcomes_pass_from_process_to_process_in_order(self, tmp_path: Path) -> None:
        inner, outer = Steps(), Steps()
        with outer.step("first"):
            pass
        with inner.step("second") as outcome:
            outcome.how = "built"
        inner.save(tmp_path / "outcomes")
        outer.add_saved(tmp_path / "outcomes")
        assert [(each.name, each.how) for each in outer.outcomes] == [("first", "done"), ("second", "built")]
        assert not (tmp_path / "outcomes").exists()
        console = Console(record=True, width=100)
        console.print(outer.table())
        assert "second" in console.export_text()

    def test_a_failed_step_is_no_outcome(self) -> None:
        steps = Steps()
        with pytest.raises(LabError), steps.step("breaks"):
            raise LabError("broken")
        assert steps.outcomes == []


class TestBuild:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("Q8S_CACHE", str(tmp_path))

    def test_needs_are_built_first_and_each_once(self) -> None:
        built: list[str] = []

        def recipe(name: str) -> Artifact:
            return Artifact(name, lambda _: built.append(name), pins=(name,))

        base = recipe("base")
        top = Artifact("top", lambda _: built.append("top"), needs=(base,))
        steps = Steps()
        graph.build((top, top), steps)
        assert built == ["base", "top"]
        assert {each.how for each in steps.outcomes} == {"built"}
        graph.build((base, top), again := Steps())
        assert built == ["base", "top"]
        assert {each.how for each in again.outcomes} == {"cached"}

    def test_what_is_ready_later_is_built_before_what_comes_after_it(self) -> None:
        built: list[str] = []

        def recipe(name: str, *needs: Artifact) -> Artifact:
            return Artifact(name, lambda _: built.append(name) or time.sleep(0.1), needs=needs, pins=(name,))

        key = recipe("key")
        graph.build((key, recipe("longest", key), *(recipe(name) for name in "abcd")), Steps())
        assert built.index("longest") < built.index("c")

    def test_a_failed_recipe_is_told_and_leaves_nothing(self) -> None:
        def fails(builder: Builder) -> None:
            builder.run("sh", "-c", "echo checksum mismatch; exit 3")

        broken = Artifact("broken", fails)
        with pytest.raises(BuildError, match=r"(?s)exited 3.*checksum mismatch.*log: "):
            graph.build((broken, Artifact("after", lambda _: None, needs=(broken,))), Steps())
        assert not broken.is_built

    def test_a_failure_ends_what_is_built_beside_it(self) -> None:
        started = threading.Event()

        def waits(builder: Builder) -> None:
            started.set()
            builder.run("sleep", "300")

        def fails(_: Builder) -> None:
            assert started.wait(10)
            raise BuildError("no such module")

        with pytest.raises(BuildError, match="no such module"):
            graph.build((Artifact("long", waits), Artifact("broken", fails)), Steps())

    def test_two_processes_build_a_thing_once(self) -> None:
        built: list[int] = []
        twice = [Artifact("once", lambda _: built.append(time.sleep(0.3) or 1)) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            took = [future.result(timeout=20) for future in [pool.submit(each.ensure) for each in twice]]
        assert built == [1]
        assert took.count(None) == 1

    def test_what_is_edited_while_it_is_built_is_not_kept(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(artifact, "REPOSITORY", tmp_path)
        recipe = tmp_path / "recipe"
        recipe.write_text("one")
        edited = Artifact("edited", lambda _: recipe.write_text("two"), files=(recipe,))
        with pytest.raises(BuildError, match="was edited while it was built"):
            edited.ensure()
        assert not edited.is_built

    def test_the_cache_drops_what_no_key_names(self, tmp_path: Path) -> None:
        old, new = (Artifact("thing", lambda _: None, pins=(pin,)) for pin in ("1", "2"))
        for each in (old, new):
            each.ensure()
        killed = tmp_path / "thing" / f".{old.key}-abc"
        killed.mkdir()
        removed = artifact.prune([new])
        assert {old.path, killed} <= set(removed)
        assert len(removed) == len(set(removed)), "each is told once"
        assert not old.path.exists()
        assert not killed.exists()
        assert new.is_built

    def test_downloads_are_in_no_builds_way(self) -> None:
        begun = threading.Barrier(3, timeout=10)
        pair = [Artifact(name, lambda _: begun.wait() and None) for name in ("a", "b")]
        graph.build((*pair, Artifact("c", lambda _: begun.wait() and None, fetches=True)), Steps())

    def test_who_waits_for_its_needs_keeps_no_other_from_being_built(self) -> None:
        other = threading.Event()

        def waits(_: Builder) -> None:
            assert other.wait(10), "nothing was built beside it"

        slow = Artifact("slow", waits)
        above = [Artifact(name, lambda _: None, needs=(slow,)) for name in ("x", "y")]
        graph.build((slow, *above, Artifact("other", lambda _: other.set())), Steps())

    def test_the_critical_path_goes_back_from_what_was_ready_last(self) -> None:
        early, late = Artifact("early", lambda _: None), Artifact("late", lambda _: None)
        top = Artifact("top", lambda _: None, needs=(early, late))
        aside = Artifact("aside", lambda _: None)
        spans = {early.key: (0, 2), late.key: (2, 5), top.key: (5.1, 9), aside.key: (0, 8)}
        built = {key: graph.Span(*span) for key, span in spans.items()}
        # One needs nothing: it began when a builder was free.
        path = graph.critical_path((aside, top, early, late), built)
        assert [name for name, _ in path] == ["early", "late", "top"]
        assert sum(seconds for _, seconds in path) == pytest.approx(8.9)
        assert graph.critical_path((early,), {early.key: graph.Span(0, 0.1)}) == [("early", 0.1)]
        assert graph.critical_path((aside, top), {}) == []

    def test_two_are_built_side_by_side(self) -> None:
        meeting = threading.Barrier(2, timeout=10)
        graph.build(tuple(Artifact(name, lambda _: meeting.wait() and None) for name in ("a", "b")), Steps())


class TestCode:
    """A key changes with what a recipe does, and with nothing else."""

    @pytest.fixture(autouse=True)
    def recipe(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Modules ``lab.helping`` and ``lab.making``, in a lab of their own."""
        monkeypatch.setattr(code, "_ROOT", tmp_path)
        self.folder = tmp_path / "lab"
        self.folder.mkdir()
        self.write("helping", "def help_out():\n    return 1\n")
        self.write("making", "from lab.helping import help_out\ndef make(builder):\n    help_out()\n")

    def write(self, module: str, text: str) -> None:
        (self.folder / f"{module}.py").write_text(text)

    def test_words_and_layout_change_nothing(self) -> None:
        before = dict(code.modules(self.folder / "making.py"))
        assert set(before) == {"making.py", "helping.py"}
        self.write("helping", '"""Helps."""\n# Much.\ndef help_out():\n    """One."""\n\n    return (1)\n')
        assert dict(code.modules(self.folder / "making.py")) == before

    def test_code_of_an_imported_module_changes_it(self) -> None:
        before = dict(code.modules(self.folder / "making.py"))
        self.write("helping", "def help_out():\n    return 2\n")
        after = dict(code.modules(self.folder / "making.py"))
        assert after["helping.py"] != before["helping.py"]
        assert after["making.py"] == before["making.py"]

    def test_two_files_of_one_name_both_count(self) -> None:
        (self.folder / "deep").mkdir()
        self.write("deep/helping", "def other():\n    return 1\n")
        self.write("making", "from lab import helping\nfrom lab.deep.helping import other\ndef make(builder): ...\n")
        before = code.modules(self.folder / "making.py")
        assert [name for name, _ in before] == ["helping.py", "helping.py", "making.py"]
        for changed in ("helping", "deep/helping"):
            self.write(changed, "def changed():\n    return 3\n")
            after = code.modules(self.folder / "making.py")
            assert after != before
            before = after

    def test_how_a_recipe_is_run_is_not_part_of_it(self) -> None:
        self.write("steps", "import os\n")
        self.write("helping", "from lab import steps\ndef help_out(): ...\n")
        assert "steps.py" not in dict(code.modules(self.folder / "making.py"))


@pytest.mark.parametrize("module", sorted({each.module for each in cli.artifacts()}), ids=lambda path: path.stem)
def test_versions_that_a_recipe_uses_are_in_its_keys(module: Path) -> None:
    """Files of versions are not part of a recipe's code: each recipe pins those that it uses."""
    pins = " ".join(pin for each in cli.artifacts() if each.module == module for pin in each.pins)
    read = module.read_text()
    used = set(re.findall(r"\bversions\.([A-Z_]+)", read))
    for imported in re.findall(r"^from lab\.versions import (.+)$", read, re.MULTILINE):
        used |= {name.partition(" as ")[0] for name in imported.split(", ")}
    for name in used:
        assert str(vars(lab_versions).get(name) or vars(cluster_versions)[name]) in pins, name


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A lab that is down, in folders of its own."""
        assert not layout.RUN.exists(), "a lab that is up"
        monkeypatch.setattr(layout, "LOGS", tmp_path / "logs")
        monkeypatch.setattr(layout, "STATE", tmp_path / "state")
        monkeypatch.setattr(namespace, "exists", lambda: False)
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs/nova-compute.log").touch()

    @pytest.mark.parametrize("words", [["enter", "true"], ["status"]])
    def test_a_lab_that_is_down_is_told(self, words: list[str]) -> None:
        result = CliRunner().invoke(cli.cli, words)
        assert result.exit_code == 1
        assert "the lab is down" in result.output

    def test_down_where_it_is_down_is_fine(self) -> None:
        assert CliRunner().invoke(cli.cli, ["down"]).exit_code == 0

    def test_wiping_drops_state_and_logs(self) -> None:
        layout.STATE.mkdir()
        assert CliRunner().invoke(cli.cli, ["down", "--wipe"]).exit_code == 0
        assert not layout.STATE.exists()
        assert not layout.LOGS.exists()

    def test_an_unknown_log_names_those_that_are(self) -> None:
        result = CliRunner().invoke(cli.cli, ["logs", "nova"])
        assert result.exit_code == 1
        assert "nova-compute" in result.output

    def test_what_explains_itself_is_a_line_and_not_a_trace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(**_: bool) -> None:
            raise LabError("this machine can't: do that")

        monkeypatch.setattr(checks, "machine", refuse)
        result = CliRunner().invoke(cli.cli, ["up"])
        assert result.exit_code == 1
        assert "error: this machine can't: do that" in result.output
