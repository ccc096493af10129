"""What the program marks: every secret as one, and every step as ending with the host that it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulumi.runtime import rpc

from tests.program import rules
from tests.program.recorded import run
from tests.unit import rendered
from tests.unit.specs import OF_WORKERS

STEP = ({"connection", "stdin"}, {"connection"})
SPEAKING_STEP = ({"connection", "stdin"}, {"connection", "stdout"})
COPY = ({"connection"}, {"connection"})
HOST = ({"userData"}, {"adminPass"})
SECRETS: Mapping[str, tuple[set[str], set[str]]] = {
    "keys": (set(), {"stdout", "stderr"}),
    "keypair": (set(), {"privateKey"}),
    "kubernetes": ({"kubeconfig"}, set()),
    "control-plane-0": HOST,
    **{f"{name}-scripts": COPY for name in ("control-plane-0", "control-plane-1", "x86-small-0", "arm-mid-0")},
    "control-plane-0-host": STEP,
    "control-plane-0-init": SPEAKING_STEP,
    **{f"control-plane-0-{what}": STEP for what in ("found", "join", "node", "identity", "upgrade")},
    **{f"control-plane-0-{name}-{what}": STEP for name in OF_WORKERS for what in ("payload", "checksums")},
    "control-plane-1": HOST,
    "control-plane-1-host": STEP,
    "control-plane-1-join": STEP,
    "control-plane-1-node": STEP,
    "control-plane-1-upgrade": STEP,
    **{f"{name}{suffix}": STEP for name in ("x86-small-0", "arm-mid-0") for suffix in ("-host", "-guest", "-node")},
    **dict.fromkeys(("x86-small-0", "arm-mid-0"), HOST),
}
"""The prototype's shape: secret inputs, and outputs that are secret beside them."""


def test_every_secret_is_marked(keys: str) -> None:
    recorder, _ = run(rendered.planned("prototype"), keys)
    found = {
        each.name.removeprefix("prototype-"): (marked(each.inputs), set(each.secret_outputs))
        for each in recorder.declared.values()
        if marked(each.inputs) or each.secret_outputs
    }
    assert found == SECRETS
    of_components = {key: marked(outputs) for key, outputs in recorder.registered.items() if marked(outputs)}
    assert of_components == {"Cluster prototype": {"kubeconfig"}}


def marked(properties: Mapping[str, Any]) -> set[str]:
    """Names of the properties that are secret."""
    return {name for name, value in properties.items() if rpc.is_rpc_secret(value)}


def test_a_step_ends_with_the_host_that_it_runs_on(keys: str) -> None:
    declared = run(rendered.planned("mixed"), keys)[0].declared
    addresses = {
        each.outputs["allFixedIps"][1]: each.name.removesuffix("-port")
        for each in declared.values()
        if each.type == rules.PORT
    }
    steps = [each for each in declared.values() if each.type in (rules.COMMAND, rules.COPY)]
    assert len(addresses) == 15
    assert steps
    for step in steps:
        assert step.deleted_with == addresses[step.outputs["connection"]["host"]], step.name
        assert step.deleted_first, step.name
