"""Which labels and taints a node gets and loses: the step itself, with a kubectl that keeps a node in a file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from q8s_infra.render.templates import REPOSITORY

NODE, VERSION, RECORD = "demo-arm-0", "1.34.4", "q8s-node-demo-arm-0"
SCRIPTS = ("lib.sh", "token.sh", "etcd.sh", "node-labels.sh", "upgrade-worker.sh", "await-node.sh")

# As kubectl's: it takes no name of a resource for an option behind "--", and removes no taint that is not there.
KUBECTL = """#!{python}
import json, pathlib, sys
place = pathlib.Path({place!r})
node, words = json.loads(place.read_text()), sys.argv[1:]
with place.with_name("calls").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
asked = " ".join(words)
if "get configmap" in asked:
    print(node["record"] or "", end="")
elif "apply" in words:
    import yaml
    document = yaml.safe_load(sys.stdin)
    assert document["kind"] == "ConfigMap", document
    node["record"], node["metadata"] = document["data"]["set"], document["metadata"]
elif words[:2] == ["get", "node"]:
    if ".spec.taints" in asked:
        print("".join(f"{{name}}\\n" for name in node["taints"]), end="")
    elif "kubeletVersion" in asked:
        print("v{version}", end="")
    elif "metadata.uid" in asked:
        print("a-uid", end="")
    elif "guest" in asked:
        print(node["annotations"].get("q8s.io/guest", ""), end="")
elif words[0] in ("label", "taint", "annotate"):
    behind = words[words.index("--") + 1 :]
    assert behind[:2] == ["node", {node!r}], behind
    kept = node["annotations" if words[0] == "annotate" else words[0] + "s"]
    for word in behind[2:]:
        name, value = word, ""
        if words[0] == "taint" and not word.endswith("-"):
            key, _, effect = word.partition(":")
            name, _, value = key.partition("=")
            name = f"{{name}}:{{effect}}"
        elif not word.endswith("-"):
            name, _, value = word.partition("=")
        if not word.endswith("-"):
            kept[name] = value
        elif name[:-1] in kept:
            del kept[name[:-1]]
        elif words[0] == "taint":
            sys.exit(f"taint {{name}} not found")
place.write_text(json.dumps(node))
"""


class Node:
    """A node that is there, on which the step is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state: dict[str, Any] = {
            "annotations": {"q8s.io/guest": "abcdef"},
            "labels": {"kubernetes.io/arch": "arm64", "own": "yes"},
            "taints": {"node.kubernetes.io/unschedulable:NoSchedule": ""},
            "record": None,
        }
        place = folder / "node.json"
        program = KUBECTL.format(python=sys.executable, place=str(place), version=VERSION, node=NODE)
        (folder / "kubectl").write_text(program)
        (folder / "kubectl").chmod(0o755)
        (folder / "work").mkdir()
        for name in SCRIPTS:
            text = (REPOSITORY / "hostscripts" / name).read_text()
            text = text.replace("/var/log/q8s", str(folder / "log")).replace(
                "PATH=/usr/local", f"PATH={folder}:/usr/local"
            )
            (folder / "work" / name).write_text(text)

    def awaited(self, labels: Mapping[str, str], taints: Sequence[str] = ()) -> dict[str, Any]:
        """Run the step; return the node and its record as they are then."""
        work = self.folder / "work"
        (work / "labels").write_text("".join(f"{key}={value}\n" for key, value in labels.items()))
        (work / "taints").write_text("".join(f"{taint}\n" for taint in taints))
        (work / "token").write_text("abcdef.0123456789abcdef\n")
        (self.folder / "node.json").write_text(json.dumps(self.state))
        words = [f"node={NODE}", "step=await-node", "layer=guest", "timeout=5", "role=worker"]
        words += [f"kubernetes={VERSION}", "grace=1", "payload=192.168.123.1/1"]
        done = subprocess.run(
            ["bash", "await-node.sh", *words], cwd=work, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr + done.stdout
        assert done.stdout == f"v{VERSION}"
        self.state = json.loads((self.folder / "node.json").read_text())
        return self.state

    def calls(self) -> list[list[str]]:
        """The words of each call of kubectl."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


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
    metadata = node.awaited({"tier": "edge"})["metadata"]
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
    assert removing == [["label", "--", "node", NODE, "gone-"]]
    assert not [*node.folder.rglob("pwned")]


def test_names_stand_where_kubectl_takes_none_for_an_option(node: Node) -> None:
    node.awaited({"tier": "edge"}, ["slow:NoExecute"])
    node.awaited({})
    changes = [call for call in node.calls() if call[0] in {"label", "taint", "annotate"}]
    assert len(changes) == 6
    assert all(set(call[1 : call.index("--")]) <= {"--overwrite"} for call in changes)
