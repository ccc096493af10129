"""What is broken, and where: logs of every node without their secrets, and the first layer that fails."""

from q8s_infra.diagnose.archive import write_archive
from q8s_infra.diagnose.collect import Collected, collect
from q8s_infra.diagnose.judge import Finding, judge
from q8s_infra.diagnose.redact import Redactor
from q8s_infra.diagnose.values import stack_values

__all__ = [
    "Collected",
    "Finding",
    "Redactor",
    "collect",
    "judge",
    "stack_values",
    "write_archive",
]
