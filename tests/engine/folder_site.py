"""A site for the real engine: plugins that answer at once, fail on request, and keep their cloud in a folder.

What they model of the official ones: which inputs replace a resource (tests/program/rules.py, from the providers'
sources), outputs that the program reads, instances and ports that exist or do not, and steps whose host may be gone:
a deletion that has to log in to such a host fails, as pulumi-command's does after its dials.
"""

# ruff: noqa: N802, ARG002  the names and arguments of the protocol's methods

from __future__ import annotations

import json
import os
import secrets
import sys
import zlib
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from lab.pulumi.plugin import Context, Plugin, detailed_diff, refuse, serve
from lab.pulumi.wire import UNKNOWN, Properties, changes, from_struct, plain, to_struct
from q8s_infra import stack as program
from q8s_infra.drift import OWNER, Kind, Port, Server
from q8s_infra.lookups import SeenNetwork
from q8s_infra.new_keys import new_keys
from q8s_infra.openstack_project import OpenStackProject
from tests.program import rules
from tests.unit.certificate import client_certificate_data

VERSIONS: Final = {"openstack": "5.5.3", "command": "1.2.1", "kubernetes": "4.34.2"}
PROJECT: Final = OpenStackProject("project-1", "RegionOne", "https://nova.example/v2.1")
_ADDRESSES: Final = IPv4Network("10.254.0.0/16")
_STDOUT: Final = {rules.COMMAND, rules.LOCAL}


class Folder:
    """The cloud: a file for each instance and port, one for each resource that is to fail, and a journal."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("servers", "ports", "fails", "untouched"):
            (root / name).mkdir(parents=True, exist_ok=True)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted((self.root / kind).glob("*"))]

    def put(self, kind: str, identity: str, content: dict[str, Any]) -> None:
        (self.root / kind / identity).write_text(json.dumps({"id": identity, **content}))

    def remove(self, kind: str, identity: str) -> None:
        (self.root / kind / identity).unlink(missing_ok=True)

    def fails(self, name: str) -> bool:
        return (self.root / "fails" / name).exists()

    def note(self, line: str) -> None:
        with (self.root / "journal").open("a") as file:
            file.write(f"{line}\n")

    def journal(self) -> list[str]:
        path = self.root / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def project(self) -> OpenStackProject:
        path = self.root / "project"
        return OpenStackProject(*json.loads(path.read_text())) if path.exists() else PROJECT

    def answers(self, address: str) -> bool:
        """Whether an instance has this address."""
        ports = {each["id"]: each["address"] for each in self.all("ports")}
        return any(ports.get(server["port"]) == address for server in self.all("servers"))


class FolderCloud:
    """The program's own look-ups in the same folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.project = folder.project()

    def all_servers(self) -> Iterable[Server]:
        # Another project has instances of its own.
        if self.project.project != PROJECT.project:
            return []
        return [Server(each["id"], each["name"], each["owner"]) for each in self._folder.all("servers")]

    def ports(self) -> Iterable[Port]:
        used = {server["port"] for server in self._folder.all("servers")}
        return [
            Port(each["id"], each["name"], frozenset(each["groups"]), each["id"] not in used)
            for each in self._folder.all("ports")
        ]

    def delete(self, kind: Kind, identity: str) -> None:
        self._folder.note(f"program deletes {kind} {identity}")
        self._folder.remove(f"{kind}s" if kind == "port" else "servers", identity)

    def seen_networks(self, given: str) -> tuple[SeenNetwork, ...]:
        return ()


def install(root: Path) -> None:
    """Let the program look up the folder instead of a cloud."""
    folder = Folder(root)
    replaced: dict[str, Any] = {
        "connect": lambda _: FolderCloud(folder),
        "check": lambda *_: (),
        "never_prepared": lambda *_: lambda name: (root / "untouched" / name).exists(),
    }
    for name, value in replaced.items():
        setattr(program, name, value)


class SitePlugin(Plugin):
    """One of the three plugins, all alike."""

    def __init__(self, log: Any, package: str, folder: Folder) -> None:
        super().__init__(log)
        self.name, self.version, self.folder = package, VERSIONS[package], folder

    async def CheckConfig(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        changed = changes(from_struct(request.old_inputs), from_struct(request.news))
        return detailed_diff(changed, lambda path: path == "clusterIdentifier")

    async def Configure(
        self, request: provider_pb2.ConfigureRequest, context: Context
    ) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        kind = _kind(request.urn)
        changed = changes(from_struct(request.old_inputs), from_struct(request.news))
        return detailed_diff(changed, lambda path: kind in rules.REPLACING and rules.replaces(kind, path.split("[")[0]))

    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:
        name, inputs = _name(request.urn), from_struct(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(
                properties=to_struct(self._outputs(request.urn, inputs, "", known=False))
            )
        if self.folder.fails(name):
            await refuse(context, f"{name}: refused by the site")
        identity = f"{name}-{secrets.token_hex(4)}"
        self.folder.note(f"create {name}")
        outputs = self._outputs(request.urn, inputs, identity, known=True)
        return provider_pb2.CreateResponse(id=identity, properties=to_struct(outputs))

    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:
        name, inputs = _name(request.urn), from_struct(request.news)
        if not request.preview:
            if self.folder.fails(name):
                await refuse(context, f"{name}: refused by the site")
            self.folder.note(f"update {name}")
        outputs = {**from_struct(request.olds), **self._outputs(request.urn, inputs, request.id, known=True)}
        return provider_pb2.UpdateResponse(properties=to_struct(outputs))

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        name, kind, known = _name(request.urn), _kind(request.urn), plain(from_struct(request.properties))
        if kind == rules.COMMAND and known.get("delete"):
            address = str(known["connection"]["host"])
            if not self.folder.answers(address):
                await refuse(context, f"{name}: dial tcp {address}:22: connect: no route to host")
        self.folder.note(f"delete {name}")
        self.folder.remove("servers", request.id)
        self.folder.remove("ports", request.id)
        return empty_pb2.Empty()

    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:
        kept = {rules.INSTANCE: "servers", rules.PORT: "ports"}.get(_kind(request.urn))
        if kept and not (self.folder.root / kept / request.id).exists():
            return provider_pb2.ReadResponse(id="")
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def _outputs(self, urn: str, inputs: Properties, identity: str, *, known: bool) -> Properties:
        kind, name, values = _kind(urn), _name(urn), plain(inputs)
        added: Properties = {}
        if kind in _STDOUT:
            added = {"stdout": _printed(kind, str(values.get("create"))) if known else UNKNOWN, "stderr": ""}
        elif kind == rules.PORT:
            address = str(_ADDRESSES[zlib.crc32(name.encode()) % _ADDRESSES.num_addresses])
            added = {"allFixedIps": [address] if known else UNKNOWN, "tenantId": PROJECT.project, "region": "RegionOne"}
            if identity:
                content = {"name": values["name"], "groups": values["securityGroupIds"], "address": address}
                self.folder.put("ports", identity, content)
        elif kind == rules.GROUP:
            added = {"tenantId": PROJECT.project, "region": PROJECT.region}
        elif kind == rules.INSTANCE and identity:
            owner, port = values["metadata"][OWNER], values["networks"][0]["port"]
            self.folder.put("servers", identity, {"name": values["name"], "owner": owner, "port": port})
        return {**inputs, **added, **({"id": identity} if identity else {})}


def _printed(kind: str, create: str) -> str:
    """The standard output of a step."""
    if kind == rules.LOCAL:
        return json.dumps(new_keys())
    if "init-cluster" in create:
        server = "clusters:\n- cluster:\n    server: https://test.q8s.internal:6443\n  name: kubernetes"
        user = f"users: [{{user: {{client-certificate-data: {client_certificate_data()}, client-key-data: key}}}}]"
        return json.dumps({"kubeconfig": f"{server}\n{user}"})
    if "identify-payload" in create:
        return json.dumps({what: f"{what} of {create}" for what in ("image", "payload", "kubernetes")})
    if "identify-cluster" in create or "find-cluster" in create:
        return "sha256:cluster\n"
    words = [word for word in create.split() if word.startswith("kubernetes=")]
    return f"v{words[0].removeprefix('kubernetes=')}\n" if words else ""


def _kind(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def main() -> None:
    """Serve the package and the folder that the environment names."""
    package, folder = sys.argv.pop(1), Folder(Path(os.environ["Q8S_TEST_SITE"]))
    serve(lambda log: SitePlugin(log, package, folder))


if __name__ == "__main__":
    main()
