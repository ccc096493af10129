"""The lab level: the real thing. These tests run inside the lab's namespace, against a lab that is up.

``make test`` does that: ``python -m lab enter pytest tests/lab``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openstack
import pytest
from openstack.connection import Connection
from pulumi import automation

from lab import demo, layout
from lab.services import accepts
from lab.stack import open_stack

STACK = "lab-test"


@pytest.fixture(scope="session")
def cloud() -> Connection:
    """OpenStack as the regular member of a project: the only identity that the program ever has."""
    if not layout.CLOUDS_YAML.exists() or not accepts(layout.LOOPBACK, layout.KEYSTONE_PORT):
        pytest.skip("the lab is not up, or this is not its namespace: make lab, then python -m lab enter pytest")
    config = openstack.config.OpenStackConfig(config_files=[str(layout.CLOUDS_YAML)], load_envvars=False)
    return Connection(config=config.get_one(layout.CLOUD))


@dataclass
class Cluster:
    """A running cluster and the stack that made it."""

    stack: automation.Stack
    config: dict[str, Any]
    output: str

    def kubectl(self, *words: str) -> str:
        """What kubectl prints."""
        return demo.kubectl(*words)

    def get(self, *words: str) -> Any:
        """Objects, as kubectl gives them in JSON."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def nodes(self) -> dict[str, Any]:
        """Kubernetes' nodes by name."""
        return {node["metadata"]["name"]: node for node in self.get("nodes")["items"]}

    def guest(self, name: str, command: str) -> str:
        """Run a command in a guest, by a pod that sees its host's files and processes."""
        return self.kubectl("exec", f"look-{name}", "--", "busybox", "chroot", "/host", "/bin/sh", "-c", command)


@pytest.fixture(scope="session")
def cluster(cloud: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The smallest real cluster: one control plane, one emulated worker of each architecture."""
    del cloud
    config = demo.description("dev", name="test")
    stack = open_stack(STACK, config)
    lines: list[str] = []
    demo.KUBECONFIG = tmp_path_factory.mktemp("cluster") / "kubeconfig"
    try:
        stack.up(on_output=lines.append)
        demo.save_kubeconfig(stack)
        yield Cluster(stack, config, "\n".join(lines))
    finally:
        # A cluster that is kept is there at once for the next run, while tests are being written.
        if "Q8S_KEEP_CLUSTER" not in os.environ:
            stack.destroy(remove=True)


def run(*words: str) -> str:
    """What a command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
