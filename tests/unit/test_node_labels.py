"""Which labels and taints a node gets and loses: the step itself, with a kubectl that keeps a node in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.nodes import NODE, RECORD, Node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_labels_and_taints_are_set_and_recorded_where_kubelet_cannot_write(node: Node) -> None:
    state = node.awaited({"q8s.io/emulated": "true", "tier": "edge"}, ["dedicated=lab:NoSchedule", "slow:NoExecute"])
    assert state["labels"] == {"kubernetes.io/arch": "arm64", "own": "yes", "q8s.io/emulated": "true", "tier": "edge"}
    assert {"dedicated:NoSchedule", "slow:NoExecute"} < state["taints"].keys()
    assert state["record"].splitlines() == [
        "label q8s.io/emulated",
        "label tier",
        "taint dedicated:NoSchedule",
        "taint slow:NoExecute",
    ]
    assert state["annotations"] == {"q8s.io/guest": "abcdef"}


def test_the_record_goes_with_its_node(node: Node) -> None:
    metadata = node.awaited({"tier": "edge"})["metadata of set"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": NODE, "uid": "a-uid"}
    assert metadata == {"name": RECORD, "namespace": "kube-system", "ownerReferences": [owner]}


def test_what_was_set_here_and_is_not_asked_for_any_more_is_removed_and_nothing_else(node: Node) -> None:
    before = node.awaited({"tier": "edge", "zone": "a"}, ["dedicated=lab:NoSchedule", "slow:NoExecute"])
    before["labels"]["by-hand"] = ""
    after = node.awaited({"zone": "b"}, ["slow=very:NoExecute"])
    assert after["labels"] == {"kubernetes.io/arch": "arm64", "own": "yes", "by-hand": "", "zone": "b"}
    assert after["taints"] == {"node.kubernetes.io/unschedulable:NoSchedule": "", "slow:NoExecute": "very"}
    assert after["record"] == "label zone\ntaint slow:NoExecute\n"
    assert node.awaited({})["labels"] == {"kubernetes.io/arch": "arm64", "own": "yes", "by-hand": ""}
    assert node.state["record"].strip() == ""


def test_a_label_or_taint_that_was_removed_by_hand_is_no_error(node: Node) -> None:
    node.awaited({"tier": "edge"}, ["slow:NoExecute"])
    del node.state["labels"]["tier"], node.state["taints"]["slow:NoExecute"]
    assert node.awaited({})["record"].strip() == ""


HOSTILE = (
    "own kubernetes.io/arch",
    "--kubeconfig=/tmp/evil",
    "* $(touch pwned) ;touch${IFS}pwned {{.metadata}}",
    "node.kubernetes.io/unschedulable:NoSchedule",
)


@pytest.mark.parametrize("written", HOSTILE)
def test_annotations_that_kubelet_wrote_decide_nothing(node: Node, written: str) -> None:
    before = json.loads(json.dumps(node.state))
    node.state["annotations"] |= {"q8s.io/labels": written, "q8s.io/taints": written}
    after = node.awaited({"tier": "edge"})
    assert after["labels"] == before["labels"] | {"tier": "edge"}
    assert after["taints"] == before["taints"]
    assert after["annotations"] == before["annotations"]
    assert not [word for call in node.calls() for word in call if written in word]
    assert not [*node.folder.rglob("pwned")]


MALFORMED = (
    "label --all",
    "label -l",
    "label --kubeconfig=/tmp/evil",
    "label *",
    "label own extra",
    "label a/b/c",
    "label own=",
    "label Own.io/x",
    "label $(touch pwned)",
    f"label {'a' * 64}",
    "label",
    "taint own",
    "taint own:Never",
    "taint --all:NoSchedule",
    "node own",
    "annotation own",
)


def test_lines_of_a_record_that_no_spec_allows_are_ignored(node: Node) -> None:
    before = json.loads(json.dumps(node.state))
    node.state["record"] = "".join(f"{line}\n" for line in (*MALFORMED, "label gone"))
    node.state["labels"]["gone"] = ""
    after = node.awaited({})
    assert after["labels"] == before["labels"]
    assert after["taints"] == before["taints"]
    removing = [call for call in node.calls() if call[0] in {"label", "taint"}]
    # And what the guest says of its keys when it joins.
    assert removing == [["label", "--", "node", NODE, name] for name in ("gone-", "q8s.io/ssh-keys-")]
    assert not [*node.folder.rglob("pwned")]


def test_names_stand_where_kubectl_takes_none_for_an_option(node: Node) -> None:
    node.awaited({"tier": "edge"}, ["slow:NoExecute"])
    node.awaited({})
    changes = [call for call in node.calls() if call[0] in {"label", "taint", "annotate"}]
    assert len(changes) == 7
    assert all(set(call[1 : call.index("--")]) <= {"--overwrite"} for call in changes)
