"""A node with its record, for the step that awaits it: a kubectl that keeps them in a file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from q8s_infra.render.templates import REPOSITORY

NODE, VERSION, RECORD = "demo-arm-0", "1.34.4", "q8s-node-demo-arm-0"
STACK_KEY = "ssh-ed25519 AAAAStack"
SCRIPTS = (
    *("lib.sh", "token.sh", "etcd.sh", "node-labels.sh", "in-guest.sh", "upgrade-worker.sh", "guest-keys.sh"),
    *("await-node.sh", "set-guest-keys.sh", "upgrade-guest.sh"),
)

# As kubectl's: it takes no name of a resource for an option behind "--", and removes no taint that is not there.
KUBECTL = """#!{python}
import json, pathlib, sys
place = pathlib.Path({place!r})
node, words = json.loads(place.read_text()), sys.argv[1:]
with place.with_name("calls").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
asked = " ".join(words)
fields = {{"set": "record", "keys": "keys"}}
if "get configmap" in asked:
    print(node[fields[asked.rpartition("{{.data.")[2].rstrip("}}")]] or "", end="")
elif "apply" in words:
    import yaml
    document = yaml.safe_load(sys.stdin)
    if document["kind"] == "Pod":
        node["pods"].append(document)
    elif document["kind"] == "ConfigMap":
        assert "--server-side" in words, words
        (name,) = document["data"]
        assert document["metadata"]["name"] == {{"set": "q8s-node-", "keys": "q8s-keys-"}}[name] + {node!r}
        node[fields[name]] = document["data"][name]
        node["metadata of " + name] = document["metadata"]
        node["recorded"].append(document["data"])
elif "--for=create" in words and not node["exists"]:
    # It joins as soon as it is awaited.
    node["exists"] = True
    place.write_text(json.dumps(node))
    sys.exit("no such node")
elif "get daemonset" in asked:
    print("an-image", end="")
elif "get pod" in asked:
    print(node["phase"], end="")
elif words[:2] == ["get", "node"]:
    if ".spec.taints" in asked:
        print("".join(f"{{name}}\\n" for name in node["taints"]), end="")
    elif "kubeletVersion" in asked:
        print("v{version}", end="")
    elif "metadata.uid" in asked:
        print("a-uid", end="")
    elif "ssh-keys" in asked:
        print(node["labels"].get("q8s.io/ssh-keys", ""), end="")
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
    """A node that joins in the step's first run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubernetes = VERSION
        self.state: dict[str, Any] = {
            "annotations": {"q8s.io/guest": "abcdef"},
            "labels": {"kubernetes.io/arch": "arm64", "own": "yes"},
            "taints": {"node.kubernetes.io/unschedulable:NoSchedule": ""},
            "record": None,
            "keys": None,
            "recorded": [],
            "pods": [],
            "phase": "Succeeded",
            "exists": False,
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

    def run(
        self,
        labels: Mapping[str, str],
        taints: Sequence[str] = (),
        keys: Sequence[str] = (STACK_KEY,),
        made_with: Sequence[str] = (STACK_KEY,),
        guest: str = "abcdef",
    ) -> subprocess.CompletedProcess[str]:
        """Run the step; a guest that joins brings a label for the keys that it was made with."""
        work = self.folder / "work"
        (work / "labels").write_text("".join(f"{key}={value}\n" for key, value in labels.items()))
        (work / "taints").write_text("".join(f"{taint}\n" for taint in taints))
        (work / "token").write_text(f"{guest}.0123456789abcdef\n")
        (work / "guest-keys").write_text("".join(f"{key}\n" for key in keys))
        (work / "guest-user").write_text("ubuntu")
        made = sha256("".join(f"{key}\n" for key in made_with).encode()).hexdigest()[:40]
        if made_with and not self.state["exists"]:
            self.state["labels"]["q8s.io/ssh-keys"] = made
        (self.folder / "node.json").write_text(json.dumps(self.state))
        words = [f"node={NODE}", "step=await-node", "layer=guest", "timeout=5", "role=worker"]
        words += [f"kubernetes={self.kubernetes}", "grace=1", "payload=192.168.123.1/1"]
        done = subprocess.run(
            ["bash", "await-node.sh", *words], cwd=work, capture_output=True, text=True, check=False, timeout=60
        )
        self.state = json.loads((self.folder / "node.json").read_text())
        return done

    def awaited(self, labels: Mapping[str, str], taints: Sequence[str] = (), **others: Any) -> dict[str, Any]:
        """Run the step (:meth:`run`), which succeeds; return the node and its record as they are then."""
        done = self.run(labels, taints, **others)
        assert done.returncode == 0, done.stderr + done.stdout
        assert done.stdout == f"v{VERSION}"
        return self.state

    def calls(self) -> list[list[str]]:
        """The words of each call of kubectl."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
