"""A host like a worker's that is no node: prepared by the steps that workers have, sealed, and kept as an image."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from q8s_infra.bake.cloud import ServerRequest
from q8s_infra.components.host import ipv4
from q8s_infra.components.worker import guest_arguments, host_sources
from q8s_infra.defaults import ARTIFACTS_PORT
from q8s_infra.drift import Cloud as ProjectCloud
from q8s_infra.hostkeys import derive, states_public_key
from q8s_infra.hosts import HostError, Hosts
from q8s_infra.printable import printable
from q8s_infra.remote import FOLDER, HOSTSCRIPTS, Step
from q8s_infra.render.domain import domain_xml
from q8s_infra.render.node import guest_keys
from q8s_infra.render.payload import payload
from q8s_infra.render.seed import seed
from q8s_infra.render.templates import render
from q8s_infra.ssh import StackKeys, Way, printed
from q8s_infra.state.model import COMMAND, GROUP, PORT, StackState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from q8s_infra.cloud import Flavor, Instance
    from q8s_infra.plan import ClusterPlan, Worker

_BOOT_SECONDS: Final = 600
_POLL_SECONDS: Final = 5


class BakeError(Exception):
    """There can be no image; the message says why, and what to do."""


@dataclass(frozen=True)
class Baked:
    """An image.

    Attributes:
        id: of the image.
        without_state: why guests of a type will boot, by types: no state of such a one is on the image.
    """

    id: str
    without_state: Mapping[str, str]


class Cloud(ProjectCloud, Protocol):
    """What can be looked up; tests give one of their own."""

    def flavor(self, name: str) -> Flavor | None:
        """The flavor of this name, or None."""
        ...

    def instances(self, names: Iterable[str]) -> Mapping[str, Instance]:
        """The instances of these names that are there."""
        ...


class ImageBuilder(Protocol):
    """What makes an instance, and an image of it, see :class:`q8s_infra.bake.cloud.Builder`."""

    def make(self, request: ServerRequest) -> None:
        """Make the instance, and wait until it boots."""
        ...

    def keep(self, name: str, image: str) -> str:
        """Stop the instance and make an image of it; the image's id."""
        ...


def _outputs(state: StackState, kind: str, name: str) -> Mapping[str, Any]:
    """The outputs of a resource.

    Raises:
        BakeError: there is none.
    """
    found = state.get(kind, name)
    if found is None:
        raise BakeError(f"the stack has no {name} yet, and an image is made with what its cluster has: pulumi up first")
    return found.outputs


def _sums(state: StackState, name: str) -> Mapping[str, str]:
    """What the first control plane has said of an architecture's artifacts."""
    found: Mapping[str, str] = json.loads(printed(_outputs(state, COMMAND, f"{name}-checksums")))
    return {f"{what}_sha256": found[what] for what in ("image", "payload")}


async def bake(
    planned: ClusterPlan,
    *,
    deployment: Mapping[str, Any],
    keys: StackKeys,
    cloud: Cloud,
    builder: ImageBuilder,
    image: str,
    say: Callable[[str], None],
) -> Baked:
    """Make an image of a host with what workers of all the cluster's types need; what it is made of is gone again then.

    Args:
        planned: the cluster.
        deployment: the stack's state.
        keys: the stack's secrets.
        cloud: what there is.
        builder: what makes it.
        image: what it is called.
        say: hears of each step.

    Raises:
        BakeError: the cluster has no workers, or is not made yet, or none of its flavors has a disk.
        HostError: a step failed.
    """
    state, first = StackState.from_deployment(deployment), planned.control_planes[0].name
    name = planned.bake_host
    request = ServerRequest(
        name=name,
        flavor=smallest(planned, cloud),
        image=planned.spec.host_image.name,
        like=_outputs(state, PORT, f"{first}-port")["id"],
        left_out=str(state.outputs(GROUP, f"{planned.name}-control-planes-group").get("id") or ""),
        keypair=planned.name,
        group=_outputs(state, GROUP, f"{planned.name}-group")["id"],
        zone=planned.workers[0].availability_zone,
        config_drive=planned.spec.config_drive,
        user_data=render("host.yaml.j2", host_key=derive(keys.seed, f"host/{name}")),
    )
    # Before anything is made: it may not be there yet.
    guests = [_guest_step(planned, worker, state, name) for worker in _one_of_each_type(planned)]
    _taken_away(request, cloud)
    try:
        say(f"{name}: an instance of flavor {request.flavor}")
        builder.make(request)
        way = Way(planned.spec.access, keys, first, cloud.instances([name, first]))
        hosts = Hosts(way, say)
        await _answers(hosts, name)
        await _scripts(hosts, name)
        say(f"{name}: packages")
        await hosts.run(Step("bake-host", name, "host"), _all_packages(planned))
        without = {}
        for worker, step in zip(_one_of_each_type(planned), guests, strict=True):
            say(f"{name}: what guests of type {worker.type_name} are made of")
            said = printable(
                (await hosts.run(step, _guest_files(planned, worker, keys))).decode(errors="replace")
            ).strip()
            if said:
                without[worker.type_name] = said
        say(f"{name}: taking away what is its own")
        await hosts.run(Step("seal-host", name, "host"))
        say(f"{name}: becomes image {image}")
        return Baked(builder.keep(name, image), without)
    finally:
        _taken_away(request, cloud)


def smallest(planned: ClusterPlan, cloud: Cloud) -> str:
    """The flavor with the smallest disk: an image boots where there is as much disk as it was made on, or more.

    Raises:
        BakeError: none has a disk, or there are no workers.
    """
    if not planned.workers:
        raise BakeError("workers: there are none that an image could be for")
    names = list(dict.fromkeys(node.flavor for node in reversed(planned.nodes)))
    disks = {name: flavor.disk_gib for name in names if (flavor := cloud.flavor(name)) and flavor.disk_gib}
    if not disks:
        raise BakeError(f"flavor: none of {', '.join(names)} has a disk that an image could be made of")
    return min(disks, key=lambda name: disks[name])


def _taken_away(request: ServerRequest, cloud: Cloud) -> None:
    """The instance and its port, of this run or of one that was killed; the port is free once the instance is gone."""
    for server in cloud.all_servers():
        if (server.name, server.owner) == (request.name, request.group):
            cloud.delete("instance", server.id)
    for port in cloud.ports():
        if port.name == request.name and port.free and request.group in port.groups:
            cloud.delete("port", port.id)


def _one_of_each_type(planned: ClusterPlan) -> list[Worker]:
    return list({worker.type_name: worker for worker in planned.workers}.values())


async def _answers(hosts: Hosts, name: str) -> None:
    """Wait until the host lets us in.

    Raises:
        HostError: it does not.
    """
    deadline = time.monotonic() + _BOOT_SECONDS
    while True:
        try:
            async with hosts.at(name):
                return
        except HostError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_POLL_SECONDS)


async def _scripts(hosts: Hosts, name: str) -> None:
    """Copy the steps to the host, as `pulumi up` does."""
    async with hosts.at(name) as host, host.start_sftp_client() as files:
        await files.put(str(HOSTSCRIPTS), FOLDER, recurse=True)


def _all_packages(planned: ClusterPlan) -> Mapping[str, str]:
    packages = sorted({package for each in planned.architectures for package in each.host_packages})
    return {
        **host_sources(planned.spec),
        "host-packages": "".join(f"{package}\n" for package in packages),
    }


def _guest_step(planned: ClusterPlan, worker: Worker, state: StackState, name: str) -> Step:
    """The step by which a guest of the type is made, for this host."""
    first, architecture = planned.control_planes[0].name, worker.architecture
    image, disk = planned.spec.guest_image(architecture.name), payload(planned.spec, architecture)
    addresses = _outputs(state, PORT, f"{first}-port")["allFixedIps"]
    return Step(
        "bake-guest",
        name,
        "payload",
        {
            "artifacts": f"http://{ipv4(first, addresses)}:{ARTIFACTS_PORT}",
            "architecture": architecture.debian,
            "image": image.key,
            "payload_key": disk.key,
            **_sums(state, f"{first}-{architecture.name}"),
            **guest_arguments(worker),
        },
    )


def _guest_files(planned: ClusterPlan, worker: Worker, keys: StackKeys) -> Mapping[str, str]:
    spec = planned.spec
    return {
        "domain.xml": domain_xml(worker),
        "states.pem": states_public_key(keys.seed),
        **seed(spec, authorized_keys=guest_keys(spec, keys.public)),
    }
