"""Keys that may log in to a running guest: when the step that awaits its node sets them, and how the guest does."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path

import pytest

from q8s_infra.render.templates import REPOSITORY
from tests.unit.hostscript import LIMIT, stand_in
from tests.unit.nodes import NODE, STACK_KEY, Node

ALICE, BOB = "ssh-ed25519 AAAAAlice alice@example", "ecdsa-sha2-nistp256 AAAABob= bob"
SETTING = "setting the guest's SSH keys"


def record(*keys: str, guest: str = "abcdef") -> str:
    """What the node's record says of a guest with these keys."""
    listed = "".join(f"{key}\n" for key in keys)
    return f"{guest} {sha256(listed.encode()).hexdigest()}"


def keys_in(pod: dict[str, object]) -> list[str]:
    """The keys that a pod brings to its guest."""
    words = command(pod)
    assert words[words.index("set-guest-keys") + 1] == "ubuntu"
    encoded = "".join(words[words.index("set-guest-keys") + 2 :])
    return base64.b64decode(encoded).decode().splitlines()


def command(pod: dict[str, object]) -> list[str]:
    """The command of a pod's container."""
    found: list[str] = json.loads(json.dumps(pod))["spec"]["containers"][0]["command"]
    return found


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_keys_that_a_guest_was_made_with_are_recorded_only(node: Node) -> None:
    state = node.awaited({}, keys=[STACK_KEY, ALICE], made_with=[STACK_KEY, ALICE])
    assert state["pods"] == []
    assert state["keys"] == record(STACK_KEY, ALICE)
    # A node object that a user deletes takes nothing away that the guest still has.
    assert "ownerReferences" not in state["metadata of keys"]
    assert state["metadata of keys"]["labels"] == {"q8s.io/record": "keys"}


def test_recorded_keys_cost_nothing(node: Node) -> None:
    node.state["keys"] = record(STACK_KEY, ALICE)
    state = node.awaited({}, keys=[STACK_KEY, ALICE])
    assert (state["pods"], state["recorded"]) == ([], [])


def test_other_keys_are_set_by_a_pod_on_the_node(node: Node) -> None:
    done = node.run({}, keys=[STACK_KEY, ALICE])
    assert SETTING in done.stderr
    (pod,) = node.state["pods"]
    assert pod["metadata"] == {"name": f"q8s-keys-{NODE}", "namespace": "kube-system"}
    assert pod["spec"]["nodeName"] == NODE
    assert keys_in(pod) == [STACK_KEY, ALICE]
    assert node.state["keys"] == record(STACK_KEY, ALICE)
    assert ["-n", "kube-system", "delete", "pod", f"q8s-keys-{NODE}", "--wait=false"] in node.calls()


def test_a_guest_of_an_earlier_release_gets_its_keys_once(node: Node) -> None:
    node.awaited({}, made_with=[])
    assert len(node.awaited({}, made_with=[])["pods"]) == 1


def test_a_node_without_a_record_that_exists_gets_its_keys(node: Node) -> None:
    """It was deleted and has registered itself again, or its record was deleted; the guest has had other keys since."""
    node.awaited({}, keys=[STACK_KEY, ALICE])
    node.state["keys"] = None
    state = node.awaited({})
    assert keys_in(state["pods"][-1]) == [STACK_KEY]


def test_many_keys_are_several_words_of_the_command(node: Node) -> None:
    keys = [STACK_KEY, *(f"ssh-rsa {number:04}{'A' * 700} user" for number in range(200))]
    (pod,) = node.awaited({}, keys=keys)["pods"]
    assert keys_in(pod) == keys
    # MAX_ARG_STRLEN of Linux.
    assert max(map(len, command(pod))) < 128 << 10


def test_keys_that_change_twice_are_set_twice(node: Node) -> None:
    node.awaited({}, keys=[STACK_KEY])
    node.awaited({}, keys=[STACK_KEY, ALICE])
    # The guest was made with these, and has others now.
    state = node.awaited({}, keys=[STACK_KEY])
    assert [keys_in(pod) for pod in state["pods"]] == [[STACK_KEY, ALICE], [STACK_KEY]]
    assert state["keys"] == record(STACK_KEY)


def test_the_record_of_a_former_node_says_nothing_of_this_one(node: Node) -> None:
    node.state["keys"] = record(STACK_KEY, ALICE, guest="fedcba")
    state = node.awaited({}, keys=[STACK_KEY, ALICE], made_with=[STACK_KEY])
    assert keys_in(state["pods"][0]) == [STACK_KEY, ALICE]
    assert state["keys"] == record(STACK_KEY, ALICE)


def test_a_new_guest_with_the_record_of_a_former_one_needs_no_pod(node: Node) -> None:
    node.state["keys"] = record(STACK_KEY, ALICE, guest="fedcba")
    state = node.awaited({})
    assert (state["pods"], state["keys"]) == ([], record(STACK_KEY))


def test_labels_and_keys_keep_each_other_s_record(node: Node) -> None:
    node.awaited({"tier": "edge"}, keys=[STACK_KEY, ALICE])
    state = node.awaited({"zone": "a"}, keys=[STACK_KEY, ALICE])
    assert (state["record"], state["keys"]) == ("label zone\n", record(STACK_KEY, ALICE))
    state = node.awaited({"zone": "a"}, keys=[STACK_KEY, BOB])
    assert (state["record"], state["keys"]) == ("label zone\n", record(STACK_KEY, BOB))


def test_keys_that_were_not_set_fail_the_step_and_are_tried_again(node: Node) -> None:
    node.awaited({})
    node.state["phase"] = "Failed"
    done = node.run({}, keys=[STACK_KEY, ALICE])
    assert done.returncode == 1
    assert "the guest's SSH keys were not set (Failed after " in done.stderr
    assert f" s): the pod q8s-keys-{NODE} in kube-system says why" in done.stderr
    node.state["phase"] = "Succeeded"
    # Back to the former keys: it is not known which ones the guest has.
    state = node.awaited({})
    assert keys_in(state["pods"][-1]) == [STACK_KEY]
    assert state["keys"] == record(STACK_KEY)


def test_a_kubelet_that_does_not_start_the_pod_fails_the_step(node: Node) -> None:
    node.state["phase"] = "Pending"
    done = node.run({}, keys=[STACK_KEY, ALICE])
    assert done.returncode == 1
    assert "the guest's SSH keys were not set (Pending after " in done.stderr


def test_an_upgrade_has_the_same_pod_under_its_own_name(node: Node) -> None:
    node.kubernetes = "1.34.5"
    (pod,) = node.awaited({})["pods"]
    assert pod["metadata"]["name"] == f"q8s-upgrade-{NODE}"
    assert pod["spec"]["containers"][0]["name"] == "upgrade"
    assert command(pod)[-3:] == ["upgrade-guest", "v1.34.5", "192.168.123.1/1"]
    node.state["phase"] = "Failed"
    said = node.run({}).stderr
    assert "was not upgraded (Failed after " in said
    assert f" s): the pod q8s-upgrade-{NODE} in kube-system says why" in said


class Guest:
    """The homes of a guest's user and of root, with the script that sets keys."""

    def __init__(self, folder: Path) -> None:
        self.home, self.root = folder / "home", folder / "root"
        self.home.mkdir()
        (self.root / ".ssh").mkdir(parents=True)
        self.keys, self.root_keys = (home / ".ssh/authorized_keys" for home in (self.home, self.root))
        ids = f"x:{os.getuid()}:{os.getgid()}:"
        stand_in(
            folder / "programs",
            "getent",
            f'case $2 in ubuntu) echo "ubuntu:{ids}:{self.home}:/bin/bash" ;; '
            f'root) echo "root:{ids}:{self.root}:/bin/sh" ;; '
            "*) exit 2 ;; esac",
        )
        text = (REPOSITORY / "hostscripts/set-guest-keys.sh").read_text()
        self.script = text.replace("PATH=/usr/local/sbin", f"PATH={folder / 'programs'}:/usr/local/sbin")

    def run(self, *keys: str, user: str = "ubuntu") -> subprocess.CompletedProcess[str]:
        """The script, as a pod runs it, with the list in two words."""
        encoded = base64.b64encode("".join(f"{key}\n" for key in keys).encode()).decode()
        words = ["/bin/bash", "-c", self.script, "set-guest-keys", user, encoded[:10], encoded[10:]]
        return subprocess.run(words, check=False, capture_output=True, text=True, timeout=LIMIT)

    def set(self, *keys: str) -> str:
        """The script, which succeeds, and what it says."""
        done = self.run(*keys)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    return Guest(tmp_path)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_user_has_the_listed_keys_and_no_others(guest: Guest) -> None:
    guest.set(STACK_KEY, ALICE)
    assert guest.keys.read_text() == f"{STACK_KEY}\n{ALICE}\n"
    assert (mode(guest.keys), mode(guest.keys.parent)) == (0o600, 0o700)
    other = guest.keys.with_name("authorized_keys2")
    other.write_text(f"{BOB}\n")
    guest.set(STACK_KEY)
    assert guest.keys.read_text() == f"{STACK_KEY}\n"
    assert other.read_text() == f"{BOB}\n"
    assert sorted(path.name for path in guest.keys.parent.iterdir()) == ["authorized_keys", "authorized_keys2"]


def test_the_same_keys_are_not_written_again(guest: Guest) -> None:
    guest.root_keys.write_text(f"{FORCED} {STACK_KEY}\n")
    guest.set(STACK_KEY, ALICE)
    guest.keys.chmod(0o644)
    files = (guest.keys, guest.root_keys)
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files]
    assert guest.set(STACK_KEY, ALICE) == ""
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files] == before
    assert mode(guest.keys) == 0o600


FORCED = (
    "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,"
    'command="echo \'Please login as the user \\"ubuntu\\" rather than the user \\"root\\".\';echo;sleep 10;exit 142"'
)


def test_root_loses_the_keys_that_are_not_listed(guest: Guest) -> None:
    kept = ["# a comment", "", f"{FORCED} {STACK_KEY}", "  ssh-ed25519 AAAAAlice of another comment"]
    gone = [
        f"{FORCED} {BOB}",
        BOB,
        f"{BOB} {STACK_KEY}",
        f'command="{STACK_KEY}" {BOB}',
        f'environment="A=\\" {STACK_KEY} \\"" {BOB}',
        "ssh-ed25519 AAAAAliceAndMore alice@example",
    ]
    lines = [line for pair in zip_longest(kept, gone) for line in pair if line is not None]
    guest.root_keys.write_text("".join(f"{line}\n" for line in lines))
    guest.set(STACK_KEY, ALICE)
    assert guest.root_keys.read_text().splitlines() == kept
    assert mode(guest.root_keys) == 0o600


def test_root_gets_no_key(guest: Guest) -> None:
    guest.set(STACK_KEY)
    assert not guest.root_keys.exists()
    guest.root_keys.write_text(f"{BOB}\n")
    guest.set(STACK_KEY)
    assert guest.root_keys.read_text() == ""


def test_an_empty_list_and_an_unknown_user_change_nothing(guest: Guest) -> None:
    guest.set(STACK_KEY)
    for done in (guest.run(), guest.run(ALICE, user="debian")):
        assert done.returncode == 1
        assert "there are no keys to set" in done.stdout or "there is no user debian in the guest" in done.stdout
    assert guest.keys.read_text() == f"{STACK_KEY}\n"
