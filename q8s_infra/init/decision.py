"""From the command line and the cloud to what a stack's first file says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from math import ceil
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from q8s_infra.cloud import Flavor, FoundImage, FoundNetwork, Inventory
from q8s_infra.init import questions
from q8s_infra.init.questions import Answer, Asker, Candidate, some
from q8s_infra.init.shipped import shipped
from q8s_infra.preflight import CONTROL_PLANE_CPUS, control_plane_gib, host_gib, host_mib
from q8s_infra.spec import Mistake, NodeType, SpecErrors
from q8s_infra.spec.access import UserName
from q8s_infra.spec.types import DnsLabel

# Preflight lets pass what kubeadm does; a flavor to choose has what kubeadm's documentation asks for.
_CONTROL_PLANE_MIB: Final = 2048
_EXAMPLE: Final = "such as 203.0.113.7/32 for a single address"


@dataclass(frozen=True)
class Given:
    """What the command line says; None or empty where it says nothing."""

    stack: str
    network: str | None = None
    host_image: str | None = None
    control_plane_flavor: str | None = None
    worker_flavor: str | None = None
    allowed_cidrs: Sequence[str] = ()
    user: str | None = None
    subnet: str | None = None
    zone: str | None = None


@dataclass(frozen=True)
class Decision:
    """All that a stack's file says of its cloud.

    Attributes:
        network: its name, or its id where that is ``network_field``.
        network_field: ``name`` or ``id``.
        subnet: that of new hosts' addresses, by name or id; None where the network has no other.
        zone: the availability zone of all hosts; None where the cloud has no other.
        host_image: its name.
        control_plane_flavor: its name.
        control_plane_volume: what control planes boot from, in GiB; None where their flavor has a disk.
        worker_flavor: the name of that of all workers' hosts.
        worker_volume: what those boot from, in GiB; None where their flavor has a disk.
        user: the host image's login.
        allowed_cidrs: who may reach SSH and the API server.
        external: networks that floating IPs could come from.
    """

    network: Answer
    network_field: str
    subnet: Answer | None
    zone: Answer | None
    host_image: Answer
    control_plane_flavor: Answer
    control_plane_volume: int | None
    worker_flavor: Answer
    worker_volume: int | None
    user: str
    allowed_cidrs: tuple[IPv4Network, ...]
    external: tuple[str, ...]


def decide(given: Given, inventory: Inventory, asker: Asker | None) -> Decision:
    """Choose what the command line leaves open: the only candidate there is, or what the asker says.

    Args:
        given: what the command line says.
        inventory: what the project can see.
        asker: who is asked; None where nobody is there.

    Raises:
        SpecErrors: all that is wrong, or that is missing while nobody can be asked.
    """
    networks, images, flavors = tuple(inventory.networks()), tuple(inventory.images()), inventory.flavors()
    asked = asker is not None
    network, host_image = questions.network(networks, given.network), questions.image(images, given.host_image)
    volumes = not all(each.disk_gib for each in flavors.values()) and inventory.volume_types() is not None
    least, least_worker = _control_plane(), _worker()
    control_plane = questions.flavor(
        "--control-plane-flavor", flavors, given.control_plane_flavor, least, volumes=volumes
    )
    worker = questions.flavor("--worker-flavor", flavors, given.worker_flavor, least_worker, volumes=volumes)
    zone = questions.zone(inventory.availability_zones(), given.zone)
    on_network = network.known and questions.subnet(_network(networks, network.known), given.subnet)
    login = host_image.known and questions.user(_of_name(images, host_image.known), given.user)
    open_ones = [each for each in (network, on_network, zone, host_image, control_plane, worker, login) if each]
    cidrs, no_cidrs = _parsed(given.allowed_cidrs, asked=asked)
    if mistakes := [*_misnamed(given), *(each for one in open_ones for each in one.mistakes(asked=asked)), *no_cidrs]:
        raise SpecErrors(mistakes)
    on = network.answer(asker)
    subnet = questions.subnet(_network(networks, on.chosen), given.subnet)
    image = host_image.answer(asker)
    of_control_planes, of_workers = control_plane.answer(asker), worker.answer(asker)
    return Decision(
        network=on,
        network_field="id" if on.chosen.value in {each.id for each in networks} else "name",
        subnet=subnet.answer(asker) if subnet else None,
        zone=zone.answer(asker) if zone else None,
        host_image=image,
        user=questions.user(_of_name(images, image.chosen), given.user).answer(asker).chosen.value,
        control_plane_flavor=of_control_planes,
        control_plane_volume=_volume(flavors[of_control_planes.chosen.value], least),
        worker_flavor=of_workers,
        worker_volume=_volume(flavors[of_workers.chosen.value], least_worker),
        allowed_cidrs=cidrs or (asker.allowed_cidrs() if asker else ()),
        external=tuple(some([Candidate(each.name) for each in networks if each.external and each.name])),
    )


def parse_cidr(text: str) -> IPv4Network:
    """An IPv4 network.

    Raises:
        ValueError: it is none; the message says what one is.
    """
    try:
        return IPv4Network(text.strip())
    except ValueError as error:
        raise ValueError(f"must be an IPv4 network, {_EXAMPLE}: {error}") from None


def _control_plane() -> Flavor:
    """One that makes the payloads of all shipped types."""
    architectures = {each["architecture"] for each in shipped()["nodeTypes"].values()}
    return Flavor(CONTROL_PLANE_CPUS, _CONTROL_PLANE_MIB, control_plane_gib(len(architectures)))


def _worker() -> Flavor:
    """One that carries a guest of any shipped type, without a warning of the check."""
    types = [NodeType.model_validate(each) for each in shipped()["nodeTypes"].values()]
    return Flavor(max(each.cpus for each in types), max(map(host_mib, types)), ceil(max(map(host_gib, types))))


def _volume(flavor: Flavor, least: Flavor) -> int | None:
    return None if flavor.disk_gib else least.disk_gib


def _misnamed(given: Given) -> Iterator[Mistake]:
    allowed = "must be of lower-case letters, digits and '-', 63 at most: the cluster has this name, too"
    yield from _unlike(DnsLabel, "--stack", given.stack, allowed)
    if given.user is not None:
        yield from _unlike(UserName, "--user", given.user, "must be a login of lower-case letters, digits, '-' and '_'")


def _unlike(kind: Any, option: str, value: str, allowed: str) -> Iterator[Mistake]:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        yield Mistake(option, value, allowed)


def _parsed(cidrs: Sequence[str], *, asked: bool) -> tuple[tuple[IPv4Network, ...], list[Mistake]]:
    if not cidrs and not asked:
        about = f"is missing, name the IPv4 networks that may reach SSH and the API server from outside, {_EXAMPLE}"
        return (), [Mistake("--allowed-cidr", None, about)]
    parsed, mistakes = [], []
    for each in cidrs:
        try:
            parsed.append(parse_cidr(each))
        except ValueError as error:
            mistakes.append(Mistake("--allowed-cidr", each, str(error)))
    return tuple(parsed), mistakes


def _network(networks: Iterable[FoundNetwork], candidate: Candidate) -> FoundNetwork:
    return next(each for each in networks if candidate.value in (each.id, each.name))


def _of_name(images: Iterable[FoundImage], candidate: Candidate) -> FoundImage:
    """The image that an instance is made from."""
    return max((each for each in images if each.name == candidate.value), key=lambda each: each.created)
