"""A cluster keeps its keys, on whatever machine they were made and the program runs now."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from q8s_infra.components import keys as components
from tests.program.recorded import Declared, run
from tests.unit import rendered

STEP = "Command dev-keys"
FORMER = "#!/usr/bin/env bash\nssh-keygen -q -t ed25519 -N '' -C q8s -f key\n"


def changed(declared: dict[str, Declared]) -> set[str]:
    return {key for key, each in declared.items() if each.done not in {"component", "unchanged"}}


@pytest.mark.parametrize(
    "interpreter",
    [
        ["/bin/bash", "-c"],
        ["/home/somebody else/q8s/.venv/bin/python", "-c"],
        ["C:\\Users\\Some Body\\q8s\\.venv\\Scripts\\python.exe", "-c"],
    ],
    ids=["former release", "another user", "windows"],
)
def test_keys_made_elsewhere_stay_and_nothing_changes(interpreter: list[str], keys: str) -> None:
    planned = rendered.planned("dev")
    stack = run(planned, keys)[0].declared
    step = stack[STEP]
    inputs = {**step.inputs, "create": FORMER, "interpreter": interpreter}
    stack[STEP] = replace(step, inputs=inputs, outputs={**step.outputs, **inputs})
    again = run(planned, keys, stack)[0].declared
    assert not changed(again)
    assert again[STEP].inputs == inputs


def test_another_python_and_another_recipe_change_nothing(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = rendered.planned("dev")
    stack = run(planned, keys)[0].declared
    monkeypatch.setattr(sys, "executable", "/opt/another python/bin/python3")
    monkeypatch.setattr(components, "RECIPE", "print('other keys')")
    assert not changed(run(planned, keys, stack)[0].declared)


def test_any_other_change_of_the_step_would_be_seen(keys: str) -> None:
    planned = rendered.planned("dev")
    stack = run(planned, keys)[0].declared
    stack[STEP] = replace(stack[STEP], inputs={**stack[STEP].inputs, "dir": "/elsewhere"})
    assert changed(run(planned, keys, stack)[0].declared) == {STEP}


def test_a_new_stack_makes_its_keys_with_the_python_that_runs_the_program(keys: str) -> None:
    step = run(rendered.planned("dev"), keys)[0].declared[STEP]
    assert step.done == "created"
    assert step.inputs["interpreter"] == [sys.executable, "-c"]
    # Nothing takes keys back: a deletion runs no command, on no machine.
    assert "delete" not in step.inputs
