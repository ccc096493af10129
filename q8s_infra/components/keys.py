"""The cluster's own secrets: an SSH key pair and the seed of all host keys."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import pulumi
from pulumi_command import local

from q8s_infra import new_keys
from q8s_infra.hostkeys import (
    HostKey,
    certificate_key,
    derive,
    join_token,
    machine_id,
    states_credential,
    states_key,
    states_public_key,
)
from q8s_infra.remote import secret

RECIPE: Final = inspect.getsource(new_keys)
"""The program that makes the keys."""


class ClusterKeys(pulumi.ComponentResource):
    """Made once, on the machine that runs Pulumi, and kept in the stack as secrets."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("q8s:index:ClusterKeys", name, None, opts)
        made = local.Command(
            f"{name}-keys",
            create=RECIPE,
            interpreter=[sys.executable, "-c"],
            logging=local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                additional_secret_outputs=["stdout", "stderr"],
                # Any update runs `create` again, which would give a running cluster other keys. The interpreter is
                # another one on another machine; that of the state is not run again, a deletion runs nothing.
                ignore_changes=["create", "interpreter"],
            ),
        )
        self._keys: pulumi.Output[dict[str, Any]] = secret(made.stdout).apply(json.loads)
        self.private_key: pulumi.Output[str] = self._keys.apply(lambda keys: str(keys["privateKey"]))
        self.public_key: pulumi.Output[str] = pulumi.Output.unsecret(
            self._keys.apply(lambda keys: str(keys["publicKey"]))
        )
        self.register_outputs({})

    def host_key(self, machine: str) -> pulumi.Output[HostKey]:
        """The host key of ``host/<node>`` or ``guest/<node>``; a secret."""
        return self._keys.apply(lambda keys: derive(keys["hostKeySeed"], machine))

    def join_token(self, node: Sequence[pulumi.Input[object]]) -> pulumi.Output[str]:
        """The bootstrap token of a node that is made of all this; a secret."""
        return self._derived(join_token, node)

    def machine_id(self, guest: Sequence[pulumi.Input[object]]) -> pulumi.Output[str]:
        """The machine id of a guest that is made of all this."""
        return self._derived(machine_id, guest)

    @property
    def states_key(self) -> pulumi.Output[str]:
        """The first control plane's key for states of guests; a secret, and for that host alone."""
        return self._keys.apply(lambda keys: states_key(keys["hostKeySeed"]))

    @property
    def states_public_key(self) -> pulumi.Output[str]:
        """What workers' hosts verify states of guests with."""
        return self._keys.apply(lambda keys: states_public_key(keys["hostKeySeed"]))

    def states_credential(self, kind: str, guest: Sequence[pulumi.Input[object]]) -> pulumi.Output[str]:
        """The document by which a guest of a type that is made of all this may make a state; a secret."""
        return self._derived(lambda seed, made_of: states_credential(seed, kind, made_of), guest)

    def certificate_key(self, node: Sequence[pulumi.Input[object]]) -> pulumi.Output[str]:
        """What the certificates of a control plane that is made of all this are handed over by; a secret."""
        return self._derived(certificate_key, node)

    def _derived(self, derived: Callable[[str, str], str], node: Sequence[pulumi.Input[object]]) -> pulumi.Output[str]:
        return pulumi.Output.all(self._keys, *node).apply(
            lambda known: derived(known[0]["hostKeySeed"], json.dumps(known[1:]))
        )
