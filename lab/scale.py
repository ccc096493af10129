"""How a preview grows with the cluster: ``python -m lab.scale`` previews two sizes and prints the ratio of their times.

No cloud is asked and nothing is made: the engine and the plugins are the real ones, the stack is new.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from lab import layout
from lab.artifact import REPOSITORY
from lab.stack import open_stack

STACK = "lab-scale"
SIZES = (250, 1000)
TARGET = 1.3
# Ids, which need not be looked up.
_NETWORK = "00000000-0000-4000-8000-000000000000"
_IMAGE = "00000000-0000-4000-8000-000000000001"
# The OpenStack plugin reads it when it is configured, and would log in only to make something.
_NO_CLOUD = {
    "clouds": {
        layout.CLOUD: {
            "auth_type": "v3applicationcredential",
            "auth": {
                "auth_url": f"http://{layout.LOOPBACK}:9/v3",
                "application_credential_id": "none",
                "application_credential_secret": "none",
            },
        }
    }
}


@dataclass(frozen=True)
class Preview:
    """A preview of a new cluster: how many resources it would make, and how many seconds it took."""

    workers: int
    resources: int
    seconds: float

    @property
    def seconds_per_worker(self) -> float:
        """What a worker costs."""
        return self.seconds / self.workers


def description(shape: str, **changes: Any) -> dict[str, Any]:
    """The configuration of a shipped stack for a preview without a cloud, some of its fields changed."""
    shipped = yaml.safe_load((REPOSITORY / f"Pulumi.{shape}.yaml").read_text())["config"]
    cluster = shipped["q8s:cluster"]
    here = {"network": {"id": _NETWORK, "cidr": "10.0.0.0/16"}, "hostImage": {"name": _IMAGE}}
    return {"q8s:offline": "true", "q8s:cluster": {**cluster, **here, **changes}}


def preview(config: dict[str, Any], state: Path) -> dict[str, int]:
    """Preview a configuration as a stack of its own; how many resources would be created, by kind of change."""
    clouds = state / "clouds.yaml"
    clouds.write_text(yaml.safe_dump(_NO_CLOUD))
    stack = open_stack(STACK, config, state=state, clouds=clouds)
    try:
        return {str(kind): count for kind, count in stack.preview().change_summary.items()}
    finally:
        stack.workspace.remove_stack(STACK)


def measure(workers: int, state: Path) -> Preview:
    """Preview the smallest cluster with that many workers, half of each architecture."""
    counts = {"x86-small": workers - workers // 2, "arm-small": workers // 2}
    config = description("dev", name="scale", workers=counts, kubernetes={"podCidr": "10.128.0.0/14"})
    started = time.monotonic()
    changes = preview(config, state)
    return Preview(workers, changes["create"], time.monotonic() - started)


def main() -> None:
    """Print the table and the ratio."""
    console = Console(highlight=False)
    table = Table("workers", "resources", "resources per worker", "seconds", "seconds per worker")
    with tempfile.TemporaryDirectory() as folder:
        measure(1, Path(folder))  # Plugins and modules are warm from here on.
        small, large = (measure(size, Path(folder)) for size in SIZES)
    for each in (small, large):
        table.add_row(
            str(each.workers),
            str(each.resources),
            f"{each.resources / each.workers:.2f}",
            f"{each.seconds:.1f}",
            f"{each.seconds_per_worker:.4f}",
        )
    console.print(table)
    ratio = large.seconds_per_worker / small.seconds_per_worker
    console.print(f"a worker among {large.workers} costs {ratio:.2f} times one among {small.workers} (target {TARGET})")


if __name__ == "__main__":
    main()
