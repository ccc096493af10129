"""What an image of a prepared host is made of, what refuses one, and how a host finds what is on its image."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from openstack.exceptions import ResourceFailure

from q8s_infra.bake import BakeError, bake
from q8s_infra.bake.cloud import ServerRequest
from q8s_infra.bake.host import smallest
from q8s_infra.cloud import Flavor, Instance
from q8s_infra.drift import Port, Server
from q8s_infra.new_keys import new_keys
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.remote import HOSTSCRIPTS
from q8s_infra.spec import validated
from q8s_infra.ssh import StackKeys
from tests.unit.hostscript import step
from tests.unit.specs import spoiled

FLAVORS = {"c1.medium": Flavor(2, 4096, 40), "c1.large": Flavor(8, 8192, 60), "none": Flavor(2, 4096, 0)}
GROUP, PORT = "openstack:networking/secGroup:SecGroup", "openstack:networking/port:Port"
FIRST, BAKE = "demo-control-plane-0", "demo-bake"


@dataclass
class Project:
    """A project where instances are made that never boot, with what was there before."""

    servers: list[Server] = field(default_factory=list)
    has_ports: list[Port] = field(default_factory=list)
    requests: list[ServerRequest] = field(default_factory=list)

    def flavor(self, name: str) -> Flavor | None:
        return FLAVORS.get(name)

    def instances(self, names: Iterable[str]) -> Mapping[str, Instance]:
        return {name: Instance("ACTIVE", "", "", "") for name in names}

    def all_servers(self) -> Iterable[Server]:
        return list(self.servers)

    def ports(self) -> Iterable[Port]:
        return list(self.has_ports)

    def delete(self, kind: Literal["instance", "port"], identity: str) -> None:
        self.servers = [each for each in self.servers if (kind, each.id) != ("instance", identity)]
        self.has_ports = [each for each in self.has_ports if (kind, each.id) != ("port", identity)]

    def make(self, request: ServerRequest) -> None:
        self.requests.append(request)
        self.servers.append(Server("made", request.name, request.group))
        self.has_ports.append(Port("made", request.name, frozenset({request.group}), free=True))
        raise ResourceFailure(f"{request.name}: no valid host")

    def keep(self, name: str, image: str) -> str:
        raise AssertionError(f"{name} never booted, and can be no {image}")


def demo(path: str = "name", value: object = "demo") -> ClusterPlan:
    """The plan of the description that is right in every field, with one of them changed."""
    return plan(validated(spoiled(path, value)))


def deployment(**sums: str) -> dict[str, Any]:
    """The state of a stack whose first control plane serves these files."""
    resources = {
        (GROUP, "demo-group"): {"id": "our-group"},
        (PORT, f"{FIRST}-port"): {"id": "first-port", "allFixedIps": ["2001:db8::1", "10.254.1.5"]},
        **{
            ("command:remote:Command", f"{FIRST}-{name}-checksums"): {"stdout": {"plaintext": json.dumps(stdout)}}
            for name, stdout in sums.items()
        },
    }
    return {
        "resources": [
            {"type": kind, "urn": f"urn:pulumi:demo::q8s::{kind}::{name}", "outputs": outputs}
            for (kind, name), outputs in resources.items()
        ]
    }


def baked(planned: ClusterPlan, state: Mapping[str, Any], project: Project, keys: Path) -> None:
    private = keys / "key"
    if not private.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "q8s", "-f", private], check=True)
    secrets = StackKeys(private.read_text(), "ab" * 32)
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(
            bake(planned, deployment=state, keys=secrets, cloud=project, builder=project, image="demo-host", say=print)
        )


SUMS = json.dumps({"image": "a" * 64, "payload": "b" * 64, "kubernetes": "c" * 64})


def test_it_is_made_beside_the_first_control_plane_and_gone_when_it_fails(tmp_path: Path) -> None:
    others = [Server("1", "demo-x86-0", "our-group"), Server("2", BAKE, "their-group")]
    killed = Server("3", BAKE, "our-group")
    project = Project([*others, killed], [Port("3", BAKE, frozenset({"our-group"}), free=True)])
    with pytest.raises(ResourceFailure, match="no valid host"):
        baked(demo(), deployment(x86_64=SUMS, arm64=SUMS), project, tmp_path)
    (request,) = project.requests
    assert (request.name, request.flavor, request.like, request.group) == (BAKE, "c1.medium", "first-port", "our-group")
    assert "PRIVATE KEY" in request.user_data
    assert "PRIVATE KEY" not in repr(request)
    assert project.servers == others
    assert not project.has_ports


@pytest.mark.parametrize(
    ("planned", "state", "said"),
    [
        (demo("workers", {}), deployment(x86_64=SUMS, arm64=SUMS), "workers: there are none"),
        (demo(), {}, f"the stack has no {FIRST}-port yet"),
        (demo(), deployment(x86_64=SUMS), f"the stack has no {FIRST}-arm64-checksums yet"),
    ],
    ids=["no workers", "no cluster", "not all architectures"],
)
def test_nothing_is_made_where_there_can_be_no_image(
    tmp_path: Path, planned: ClusterPlan, state: Mapping[str, Any], said: str
) -> None:
    project = Project()
    with pytest.raises(BakeError, match=said):
        baked(planned, state, project, tmp_path)
    assert not project.requests


def test_an_image_boots_on_the_smallest_disk_of_the_cluster() -> None:
    project = Project()
    assert smallest(demo("nodeTypes/x86/flavor", "c1.large"), project) == "c1.medium"
    assert smallest(demo("controlPlanes/flavor", "none"), project) == "c1.medium"
    diskless = demo("controlPlanes/flavor", "none")
    kinds = {name: kind.model_copy(update={"flavor": "none"}) for name, kind in diskless.spec.node_types.items()}
    with pytest.raises(BakeError, match="none of none has a disk"):
        smallest(plan(diskless.spec.model_copy(update={"node_types": kinds})), project)


def test_the_stacks_public_key_is_the_one_that_its_recipe_prints() -> None:
    keys = new_keys()
    assert StackKeys(keys["privateKey"], keys["hostKeySeed"]).public == keys["publicKey"]


@pytest.mark.parametrize(("room", "resumes"), [(1 << 20, True), (1 << 60, False)])
def test_a_host_goes_on_from_the_state_of_its_type_on_its_image(tmp_path: Path, room: int, resumes: bool) -> None:
    for name in ("own", "other"):
        (tmp_path / "data/baked" / name).mkdir(parents=True)
        (tmp_path / "data/baked" / name / "memory").write_text(name)
    # Nobody is asked where it is here; who would be asked says that there is none.
    script = (
        f"source {HOSTSCRIPTS}/requirements.sh; source {HOSTSCRIPTS}/guest-state.sh; host_release() {{ echo 9.0.0; }}; "
        f"data=$PWD/data type=x86 disk={room} memory=0; "
        "progress() { :; }; state_key() { echo own; }; "
        "states() { [[ $1 = check ]] || { echo asked >>$PWD/asked; return 11; }; }; "
        "state_find; "
        '[[ -e $state ]] && cat "$state/memory" || echo none'
    )
    done = step(tmp_path, "eval", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == ("own" if resumes else "none")
    assert not (tmp_path / "data/baked").exists()
    assert not (tmp_path / "asked").exists()


def test_spoiled_state_on_an_image_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "data/baked/own").mkdir(parents=True)
    script = (
        f"source {HOSTSCRIPTS}/requirements.sh; source {HOSTSCRIPTS}/guest-state.sh; host_release() {{ echo 9.0.0; }}; "
        "data=$PWD/data type=x86 disk=0 memory=0; progress() { echo $*; }; state_key() { echo own; }; "
        "states() { [[ $1 = check ]] && echo it is not signed || echo asked; return 11; }; state_find; "
        "[[ -e $state ]] && echo used || echo none"
    )
    done = step(tmp_path, "eval", script)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "not using the state of a guest of type x86 on this host's image: it is not signed"
    assert said[-1] == "none"
    assert not (tmp_path / "data/baked").exists()
