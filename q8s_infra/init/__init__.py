"""A stack's first configuration file: what the cloud has for a cluster, chosen from, and written with comments."""

from q8s_infra.init.decision import Decision, Given, decide, parse_cidr
from q8s_infra.init.questions import Answer, Asker, Candidate, Question
from q8s_infra.init.stackfile import kept, text, write

__all__ = [
    "Answer",
    "Asker",
    "Candidate",
    "Decision",
    "Given",
    "Question",
    "decide",
    "kept",
    "parse_cidr",
    "text",
    "write",
]
