"""Runs that fail, are killed, or begin with a state older than the cloud: the real engine, on a site in a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from q8s_infra.forget import forgotten
from tests.engine.engine_stack import STACK, EngineStack
from tests.engine.folder_site import PROJECT

FIRST = "test-control-plane-0"
WORKER, SECOND, THIRD = (f"test-x86-small-{number}" for number in range(3))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> EngineStack:
    """A cluster with one worker, which every test has a copy of."""
    stack = EngineStack(tmp_path_factory.mktemp("made"))
    stack.configure()
    stack.pulumi("stack", "init", STACK)
    stack.up()
    assert set(stack.servers()) == {FIRST, WORKER}
    return stack


@pytest.fixture
def stack(made: EngineStack, tmp_path: Path) -> EngineStack:
    return made.copy(tmp_path)


@pytest.fixture
def three(stack: EngineStack) -> EngineStack:
    """The same with three workers."""
    stack.configure(workers=3)
    stack.up()
    return stack


@pytest.mark.parametrize("after", ["again", "reverted", "scaled away", "destroyed"])
@pytest.mark.parametrize("failed", [WORKER, f"{WORKER}-guest", f"{WORKER}-node"])
def test_a_replacement_that_fails_is_gone_on_with(stack: EngineStack, failed: str, after: str) -> None:
    edit = {"flavor": "c1.huge"} if failed == WORKER else {"memory": "3GiB"}
    stack.configure(**edit)
    stack.failing(failed)
    assert "refused by the site" in stack.up(fails=True)
    assert FIRST in stack.servers()
    stack.failing()
    if after == "destroyed":
        stack.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK)
        assert stack.servers() == {}
        return
    if after == "reverted":
        stack.configure()
    elif after == "scaled away":
        stack.configure(workers=0)
    assert stack.preview()
    stack.up()
    assert (WORKER in stack.servers()) == (after != "scaled away")
    if after == "scaled away":
        # A step that took a node away whose own step had never ended leaves the stack with the run after it.
        stack.up()
    assert stack.unchanged()


def test_a_rolling_replacement_that_failed_touches_no_other_worker(three: EngineStack) -> None:
    three.configure(workers=3, memory="3GiB")
    three.failing(f"{WORKER}-node")
    three.up(fails=True)
    mark = three.mark()
    for _ in range(2):
        three.up(fails=True)
    assert not [line for line in three.since(mark) if SECOND in line or THIRD in line]
    three.failing()
    three.up()
    done = [line for line in three.since(mark) if line.endswith("-node")]
    assert done == [
        f"create {WORKER}-node", f"delete {SECOND}-node", f"create {SECOND}-node", f"delete {THIRD}-node",
        f"create {THIRD}-node",
    ]  # fmt: skip
    assert three.unchanged()


def test_a_state_older_than_the_cloud_deletes_nothing_that_lives(stack: EngineStack) -> None:
    older = stack.state()
    stack.configure(workers=2)
    stack.up()
    lives = stack.servers()
    stack.pulumi("stack", "import", "--stack", STACK, given=json.dumps(older))
    for workers in (2, 1):
        stack.configure(workers=workers)
        for said in (stack.preview(fails=True), stack.up(fails=True)):
            assert f"{SECOND} ({lives[SECOND]})" in said
            assert f"openstack server delete {lives[SECOND]}" in said
            assert "pulumi stack import --stack" in said
        assert stack.servers() == lives
    stack.pulumi("refresh", "--yes", "--skip-preview", "--stack", STACK)
    assert stack.servers() == lives
    stack.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK)
    assert stack.servers() == {SECOND: lives[SECOND]}


def test_an_entry_that_was_removed_from_the_state_stops_the_run(stack: EngineStack) -> None:
    lives, others = stack.servers(), [f"{WORKER}{part}" for part in ("", "-scripts", "-host", "-guest", "-node")]
    for name in reversed(others):
        (urn,) = [each["urn"] for each in stack.state()["deployment"]["resources"] if _is(each, name)]
        stack.pulumi("state", "delete", "--yes", "--stack", STACK, urn)
    said = stack.up(fails=True)
    assert f"{WORKER} ({lives[WORKER]})" in said
    assert f"pulumi import openstack:compute/instance:Instance {WORKER} {lives[WORKER]} --parent host=urn:" in said
    assert stack.servers() == lives


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("project-2", "RegionOne", PROJECT.endpoint), "of another project"),
        (("project-1", "RegionTwo", PROJECT.endpoint), "of another region"),
    ],
)
def test_another_project_or_region_makes_nothing_missing(
    stack: EngineStack, asked: tuple[str, ...], words: str
) -> None:
    lives, mark = stack.servers(), stack.mark()
    (stack.site.root / "project").write_text(json.dumps(asked))
    for said in (stack.preview(fails=True), stack.up(fails=True)):
        assert f"these credentials are {words}; nothing of the stack is missing" in said
        assert "forget" not in said
    assert (stack.servers(), stack.since(mark)) == (lives, [])
    (stack.site.root / "project").unlink()
    assert stack.unchanged()


@pytest.mark.parametrize("untouched", [True, False])
def test_what_a_killed_run_began_is_deleted_only_where_nothing_ran_on_it(stack: EngineStack, untouched: bool) -> None:
    (instance,) = [each for each in stack.state()["deployment"]["resources"] if _is(each, WORKER)]
    (server,) = [each for each in stack.site.all("servers") if each["name"] == WORKER]
    stack.site.put("servers", "left", {"name": SECOND, "owner": server["owner"], "port": "none"})
    begun = {"resource": {**instance, "urn": instance["urn"].replace(WORKER, SECOND)}, "type": "creating"}
    stack.kill_creating(begun)
    stack.configure(workers=2)
    if untouched:
        (stack.site.root / "untouched" / SECOND).touch()
        assert f"instance {SECOND} (left): a killed run began to create it" in stack.up()
        assert stack.servers()[SECOND] != "left"
        return
    assert f"{SECOND} (left)" in stack.up(fails=True)
    assert stack.servers()[SECOND] == "left"


@pytest.mark.parametrize("refreshed", [False, True])
@pytest.mark.parametrize("kept", [True, False])
def test_a_lost_worker_comes_back_or_goes(stack: EngineStack, refreshed: bool, kept: bool) -> None:
    stack.site.remove("servers", stack.servers()[WORKER])
    said = stack.up(fails=True)
    assert f"python -m q8s_infra forget {WORKER}" in said
    if refreshed:
        # The engine clears deletedWith of what was on it.
        stack.pulumi("refresh", "--yes", "--skip-preview", "--stack", STACK)
    else:
        stack.edit_state(lambda it: forgotten(it, [WORKER], stack.servers().values()))
    stack.configure(workers=int(kept))
    stack.up()
    assert (WORKER in stack.servers()) is kept
    assert stack.unchanged()


def test_a_lost_first_control_plane_is_forgotten_and_the_stack_destroyed(stack: EngineStack) -> None:
    stack.site.remove("servers", stack.servers()[FIRST])
    stack.pulumi("refresh", "--yes", "--skip-preview", "--stack", STACK)
    # Nodes are taken out of the cluster on that host.
    assert "no route to host" in stack.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK, fails=True)
    stack.edit_state(lambda it: forgotten(it, [FIRST], stack.servers().values()))
    stack.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK)
    assert stack.servers() == {}


def test_another_name_is_refused(stack: EngineStack) -> None:
    stack.configure(cluster={"name": "other"})
    mark = stack.mark()
    assert "name: cannot be changed: the stack's cluster is called test" in stack.up(fails=True)
    assert stack.since(mark) == []


def test_an_image_that_could_not_be_fetched_does_not_stay(stack: EngineStack) -> None:
    typo = {"x86_64": {"url": "https://images.example/typo.img", "sha256": "a" * 64}}
    stack.configure(cluster={"guestImages": typo})
    stack.failing(f"{FIRST}-x86_64-payload")
    stack.up(fails=True)
    stack.failing()
    stack.configure()
    stack.up()
    assert "typo.img" not in json.dumps(stack.state())


def test_a_second_machine_with_a_copied_state_deletes_nothing(stack: EngineStack, tmp_path: Path) -> None:
    other = stack.copy(tmp_path / "other")
    shutil.rmtree(other.site.root)
    other.site.root.symlink_to(stack.site.root)
    other.configure(workers=2)
    other.up()
    lives = stack.servers()
    assert f"{SECOND} ({lives[SECOND]})" in stack.up(fails=True)
    assert stack.servers() == lives


def _is(resource: dict[str, object], name: str) -> bool:
    """Whether a resource that is no component has this name."""
    return bool(resource.get("custom")) and str(resource["urn"]).endswith(f"::{name}")
