"""The program on mocks that answer as the engine, the cloud and the hosts would, on a new stack or on one that exists.

What happens to a resource is decided when it is registered, as the engine does it: its former inputs stand for those
that are ignored, and a property that comes from a resource that is made anew has its new value. A step that runs again
prints what it makes at every run (a token) or what its host has once (a kubeconfig).
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import pulumi
from google.protobuf import empty_pb2
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import resource_pb2

from q8s_infra.components import Cluster
from q8s_infra.plan import ClusterPlan
from q8s_infra.rollout import rollout
from q8s_infra.state.model import Resource, StackState
from tests.program import rules
from tests.unit.certificate import client_certificate_data

KUBECONFIG = "client-key-data: not-for-you"
ADDRESSES = IPv4Network("10.254.0.0/16")


@dataclass(frozen=True)
class Declared:
    """A resource as the program declared it, and what became of it.

    Attributes:
        inputs: secrets among them are marked.
        outputs: secrets among them are not, so that only the program's own marks count.
        secret_outputs: those that the program or its library declares secret beside the inputs that are.
        after: names of the resources that it depends on.
        requires: keys of all resources that are registered before it: those, its parent, its provider and more.
        deleted_before: keys of the resources before whose replacement it is deleted, as it needs one for another value.
        provider: id of its provider; another one replaces it. Empty for the engine's own.
        deleted_with: name of the resource whose end is this one's, too; may be empty.
        deleted_first: the old one goes before the new one is made.
        generation: how many times it was made.
        runs: how many times it was made or changed.
        lost: gone behind the program's back, and known to be: it is made once more, and not in place of itself.
        pending: deleted before its replacement, whose creation failed. The engine keeps it with its old outputs, and
            creates it at the next run (pulumi/pkg/resource/deploy, ``PendingReplacement``).
    """

    type: str
    name: str
    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)
    secret_outputs: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    requires: frozenset[str] = frozenset()
    deleted_before: frozenset[str] = frozenset()
    provider: str = ""
    deleted_with: str = ""
    deleted_first: bool = False
    done: Literal["component", "created", "unchanged", "updated", "replaced"] = "component"
    generation: int = 1
    runs: int = 1
    lost: bool = False
    pending: bool = False

    @property
    def id(self) -> str:
        """Another one for each generation."""
        return f"{self.name}-id" if self.generation == 1 else f"{self.name}-id-{self.generation}"

    @property
    def key(self) -> str:
        """What it is found by: the last part of its type, and its name."""
        return f"{self.type.split(':')[-1]} {self.name}"


@dataclass
class Recorder(mocks.Mocks):
    """Answers, and keeps what was declared.

    Attributes:
        keys: what the step that makes the cluster's keys prints.
        before: the stack that the program runs on.
        declared: the stack that it leaves.
        registered: the outputs of components by the components' keys, secrets marked.
    """

    keys: str
    before: Mapping[str, Declared] = field(default_factory=dict)
    declared: dict[str, Declared] = field(default_factory=dict)
    registered: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: dict[tuple[str, str], resource_pb2.RegisterResourceRequest] = field(default_factory=dict)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        request = self.requests[args.typ, args.name]
        found = self._decided(request, args.inputs) if request.custom else Declared(args.typ, args.name, args.inputs)
        former = self.before.get(found.key)
        # What does not run prints nothing else.
        found.outputs.update(former.outputs if former and found.done == "unchanged" else self._outputs(found))
        self.declared[found.key] = found
        return found.id, found.outputs

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        identity = f"id of {args.args['name']}"
        return {"ids": [identity]} if args.token == rules.IMAGE_IDS else {"id": identity}

    def _decided(self, request: resource_pb2.RegisterResourceRequest, inputs: dict[str, Any]) -> Declared:
        declared = Declared(request.type, request.name, {name: _compared(value) for name, value in inputs.items()})
        former = self.before.get(declared.key)
        done: Literal["created", "unchanged", "updated", "replaced"] = "created"
        asked = dict(declared.inputs)
        if former and former.pending:
            done = "replaced"
        elif former and not former.lost:
            for name in request.ignoreChanges:
                declared.inputs.pop(name, None)
                declared.inputs.update({name: former.inputs[name]} if name in former.inputs else {})
            changed = set(changes(former.inputs, declared.inputs))
            anew = former.provider != self._provider(request) or self._is_replaced(request, changed)
            done = "replaced" if anew else "updated" if changed else "unchanged"
        return Declared(
            declared.type,
            declared.name,
            # A replacement is made of all inputs, also of those whose changes are no reason for one.
            asked if done == "replaced" else declared.inputs,
            secret_outputs=frozenset(request.additionalSecretOutputs),
            after=frozenset(_named(urn).name for urn in request.dependencies),
            requires=frozenset(
                _named(urn).key
                for urn in (*request.dependencies, request.parent, request.deletedWith, request.provider)
                # Every provider but those of the program is the engine's own; of all, the stack is the parent.
                if urn and _named(urn).key in self.declared
            ),
            deleted_before=self._deleted_before(request),
            provider=self._provider(request),
            deleted_with=_named(request.deletedWith).name if request.deletedWith else "",
            deleted_first=request.deleteBeforeReplace,
            done=done,
            generation=(former.generation if former else 0) + (done in ("created", "replaced")),
            runs=(former.runs if former else 0) + (done != "unchanged"),
        )

    def _is_replaced(self, request: resource_pb2.RegisterResourceRequest, changed: set[str]) -> bool:
        if any(rules.replaces(request.type, path) for path in changed):
            return True
        if any(rules.within(path, asked) for asked in request.replaceOnChanges for path in changed):
            return True
        return bool(self._deleted_before(request))

    def _provider(self, request: resource_pb2.RegisterResourceRequest) -> str:
        return self._became(request.provider).id if request.provider else ""

    def _deleted_before(self, request: resource_pb2.RegisterResourceRequest) -> frozenset[str]:
        # Where the old one goes first, what comes from it is unknown in between, and what needs a new resource for
        # another value gets one for an unknown value (the engine's dependent replacements).
        return frozenset(
            became.key
            for name, dependencies in request.propertyDependencies.items()
            for became in map(self._became, dependencies.urns)
            if became.done == "replaced" and became.deleted_first and rules.may_replace(request.type, name)
        )

    def _became(self, urn: str) -> Declared:
        return self.declared[_named(urn).key]

    def _outputs(self, declared: Declared) -> dict[str, Any]:
        """The inputs, and what a resource of this name, generation and number of runs adds to them."""
        outputs = {name: rpc.unwrap_rpc_secret(value) for name, value in declared.inputs.items()}
        if declared.type == rules.LOCAL:
            outputs["stdout"] = self.keys
        elif declared.type == rules.COMMAND:
            outputs["stdout"] = self._printed(declared, str(outputs["create"]))
        elif declared.type == rules.PORT:
            # A network with IPv6, too, and its address first.
            outputs["allFixedIps"] = ["fd00::5", _address(declared)]
        elif declared.type == rules.FLOATING_IP:
            outputs["address"] = _address(declared)
        return outputs

    def _printed(self, declared: Declared, create: str) -> str:
        """The standard output of a step's last run."""
        if "init-cluster" in create:
            name = next(word for word in create.split() if word.startswith("endpoint=")).removeprefix("endpoint=")
            certificate = f"client-certificate-data: {client_certificate_data()}"
            user = f"users: [{{user: {{{certificate}, {KUBECONFIG} {declared.generation}}}}}]"
            clusters = f"clusters:\n- cluster:\n    server: https://{name}:6443\n  name: kubernetes"
            return json.dumps({"kubeconfig": f"{clusters}\n{user}"})
        if "identify-payload" in create:
            # A disk that is written anew is another one, whatever is in it.
            files = ("image", "payload", "kubernetes")
            return json.dumps({what: f"{what} {create} {declared.generation}" for what in files})
        if version := re.search(r" kubernetes=(\S+)", create):
            return f"v{version[1]}\n"
        first = declared.name.rpartition("-")[0]
        if "find-cluster" in create:
            # The others are in the cluster when their first one is made for a second time.
            identity = self.before.get(f"Command {first}-identity")
            return str(identity.outputs["stdout"]) if identity and declared.generation > 1 else ""
        if "identify-cluster" in create:
            found = self.declared.get(f"Command {first}-found")
            lives_on = found and found.outputs["stdout"]
            return lives_on or f"{ca_cert_hash(first, self.declared[f'Command {first}-init'].generation)}\n"
        return ""


def ca_cert_hash(first: str, generation: int) -> str:
    """What tells the cluster that a first control plane made, and that which it made when it was made anew."""
    return f"sha256:{hashlib.sha256(f'{first} {generation}'.encode()).hexdigest()}"


class _Monitor(mocks.MockMonitor):
    """Hands the whole request to the recorder: what a mock is given leaves the resource's options out."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._recorder = recorder

    def RegisterResource(  # noqa: N802 - the service's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        self._recorder.requests[request.type, request.name] = request
        return super().RegisterResource(request)

    def RegisterResourceOutputs(  # noqa: N802
        self, request: resource_pb2.RegisterResourceOutputsRequest
    ) -> empty_pb2.Empty:
        self._recorder.registered[_named(request.urn).key] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)


def record(program: Callable[[], None], keys: str = "", before: Mapping[str, Declared] | None = None) -> Recorder:
    """Run a program to its end, on a new stack or on the one that an earlier run left."""
    recorder = Recorder(keys, before or {})
    mocks.set_mocks(recorder, preview=False, monitor=_Monitor(recorder))
    pulumi.runtime.test(program)()
    return recorder


def run(planned: ClusterPlan, keys: str, before: Mapping[str, Declared] | None = None) -> tuple[Recorder, Cluster]:
    """The same with the program of a cluster."""
    made: list[Cluster] = []
    rolled = rollout(planned, state_of(before or {}))
    recorder = record(lambda: made.append(Cluster(planned, rolled)), keys, before)
    return recorder, made[0]


def state_of(declared: Mapping[str, Declared]) -> StackState:
    """The state that the engine has of a stack."""
    return StackState(
        tuple(
            Resource(f"::::{it.type}::{it.name}", it.type, it.id, outputs=it.outputs, pending=it.pending)
            for it in declared.values()
            if not it.lost
        )
    )


def changes(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The paths at which two values differ; a list's elements go by the list's path."""
    one, other = rpc.unwrap_rpc_secret(before), rpc.unwrap_rpc_secret(after)
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            yield from changes(one.get(name), other.get(name), f"{path}.{name}" if path else name)
    elif isinstance(one, list) and isinstance(other, list):
        for pair in zip_longest(one, other):
            yield from changes(*pair, path)
    elif one != other:
        yield path


def _named(urn: str) -> Declared:
    """The type and the name in a URN, or in a reference to a provider."""
    qualified, name = urn.split("::")[2:4]
    return Declared(qualified.split("$")[-1], name, {})


class _Folder(pulumi.FileArchive):
    """An archive that is another one where its files are, and not its path, as Pulumi tells archives apart."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.files = {file.name: file.read_text() for file in Path(path).resolve().iterdir()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Folder) and self.files == other.files

    def __hash__(self) -> int:
        return hash(frozenset(self.files))


def _compared(value: Any) -> Any:
    """The value, as one that can be told from others."""
    return _Folder(value.path) if isinstance(value, pulumi.FileArchive) else value


def _address(declared: Declared) -> str:
    """Another one for each name and generation."""
    return str(ADDRESSES[zlib.crc32(declared.id.encode()) % ADDRESSES.num_addresses])
