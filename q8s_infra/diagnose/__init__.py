"""What is broken, and where: logs of every node without their secrets, and the first layer that fails."""

from q8s_infra.diagnose.archive import write_archive
from q8s_infra.diagnose.collect import Collected, NoState, StackKeys, collect, exported, stack_keys
from q8s_infra.diagnose.judge import Finding, judge
from q8s_infra.diagnose.redact import redacted

__all__ = [
    "Collected",
    "Finding",
    "NoState",
    "StackKeys",
    "collect",
    "exported",
    "judge",
    "redacted",
    "stack_keys",
    "write_archive",
]
