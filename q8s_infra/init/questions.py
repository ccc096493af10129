"""What a stack's first file has to know, and what a project has that fits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Final, Protocol

from q8s_infra.cloud import Flavor, FoundImage, FoundNetwork, FoundSubnet
from q8s_infra.spec import Mistake

_MOST_NAMED: Final = 10
# Each is the login of its own cloud images, too.
_DISTRIBUTIONS: Final = ("ubuntu", "debian")


@dataclass(frozen=True)
class Candidate:
    """What an option could be: the value as it is written, and what tells it from others."""

    value: str
    about: str = ""

    def __str__(self) -> str:
        return f"{self.value} ({self.about})" if self.about else self.value


@dataclass(frozen=True)
class Answer:
    """What an option is, why, and what else would have fitted."""

    chosen: Candidate
    reason: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """An option that a cluster needs.

    Attributes:
        option: its name on the command line.
        wanted: what fits, in words.
        fit: what the project has of it, best first.
        there: all that the project has, fitting or not: what is given may be any of it.
        given: what the command line says.
    """

    option: str
    wanted: str
    fit: tuple[Candidate, ...]
    there: tuple[Candidate, ...]
    given: str | None

    @property
    def known(self) -> Candidate | None:
        """What it is without asking anybody: what is given, or the only one that fits."""
        if self.given is not None:
            return next((each for each in self.there if each.value == self.given), None)
        return self.fit[0] if len(self.fit) == 1 else None

    def mistakes(self, *, asked: bool) -> Iterator[Mistake]:
        """Why it can't be answered.

        Args:
            asked: somebody can be.
        """
        if self.known is not None:
            return
        fit, there = (", ".join(some(each)) or "none" for each in (self.fit, self.there))
        if self.given is not None:
            allowed = f"is not there, or more than one has this name; {self.wanted}: {fit}"
            yield Mistake(self.option, self.given, allowed)
        elif not self.fit:
            yield Mistake(self.option, None, f"is missing, and nothing here is {self.wanted}; there are: {there}")
        elif not asked:
            yield Mistake(self.option, None, f"is missing, name {self.wanted}: {fit}")

    def answer(self, asker: Asker | None) -> Answer:
        """What is known, or what the asker says; only where there are no mistakes."""
        chosen = self.known
        if chosen is not None:
            reason = "as given" if self.given is not None else f"the only one that is {self.wanted}"
        else:
            assert asker is not None  # noqa: S101 - nobody to ask is a mistake
            chosen, reason = asker.choose(self), "as chosen"
        return Answer(chosen, reason, tuple(some([each for each in self.fit if each != chosen])))


class Asker(Protocol):
    """Somebody who can be asked."""

    def choose(self, question: Question) -> Candidate:
        """One of those that fit."""
        ...

    def allowed_cidrs(self) -> tuple[IPv4Network, ...]:
        """Who may reach the cluster, one at least."""
        ...


def some(candidates: Sequence[Candidate]) -> list[str]:
    """The first of them in words, and how many more there are."""
    more = len(candidates) - _MOST_NAMED
    return [*(str(each) for each in candidates[:_MOST_NAMED]), *([f"{more} more"] if more > 0 else [])]


def network(networks: Sequence[FoundNetwork], given: str | None) -> Question:
    """Which network; by its id where its name does not tell it from others."""
    named = Counter(each.name for each in networks)

    def candidate(network: FoundNetwork) -> Candidate:
        cidrs = ", ".join(str(subnet.cidr) for subnet in network.subnets) or "no IPv4 subnet"
        about = f"external, {cidrs}" if network.external else cidrs
        if network.name and named[network.name] == 1 and given != network.id:
            return Candidate(network.name, about)
        return Candidate(network.id, f"{network.name or 'no name'}, {about}")

    ordered = sorted(networks, key=lambda each: (each.name, each.id))
    fit = tuple(candidate(each) for each in ordered if each.subnets and not each.external)
    wanted = "a network with an IPv4 subnet and not external"
    return Question("--network", wanted, fit, tuple(candidate(each) for each in ordered), given)


def subnet(network: FoundNetwork, given: str | None) -> Question | None:
    """Which of a network's subnets; None where it has no choice and nothing is given."""
    if given is None and len(network.subnets) <= 1:
        return None
    named = Counter(each.name for each in network.subnets)

    def candidate(subnet: FoundSubnet) -> Candidate:
        if subnet.name and named[subnet.name] == 1 and given != subnet.id:
            return Candidate(subnet.name, str(subnet.cidr))
        return Candidate(subnet.id, f"{subnet.name or 'no name'}, {subnet.cidr}")

    there = tuple(candidate(each) for each in sorted(network.subnets, key=lambda each: (each.name, each.id)))
    return Question("--subnet", "an IPv4 subnet of the network", there, there, given)


def zone(zones: Collection[str], given: str | None) -> Question | None:
    """Which availability zone; None where the cloud has no choice and nothing is given."""
    if given is None and len(zones) <= 1:
        return None
    there = tuple(map(Candidate, sorted(zones)))
    return Question("--zone", "an availability zone that instances can be in", there, there, given)


def image(images: Sequence[FoundImage], given: str | None) -> Question:
    """Which image, newest first; of several that are called the same, an instance is made from the newest."""
    newest: dict[str, FoundImage] = {}
    for each in sorted(images, key=lambda each: each.created, reverse=True):
        newest.setdefault(each.name, each)
    there = {name: Candidate(name, f"of {each.created[:10]}") for name, each in newest.items()}
    fit = tuple(there[name] for name, each in newest.items() if _distribution(each))
    return Question("--host-image", "an image of Ubuntu or Debian", fit, tuple(there.values()), given)


def flavor(option: str, flavors: Mapping[str, Flavor], given: str | None, least: Flavor, *, volumes: bool) -> Question:
    """Which flavor, smallest first; those without a disk after all others, and only where the cloud has volumes."""
    there = {
        name: Candidate(name, _size(flavors[name]))
        for name in sorted(flavors, key=lambda name: (flavors[name].ram_mib, flavors[name].vcpus, name))
    }
    fit = tuple(candidate for name, candidate in there.items() if _carries(flavors[name], least))
    if volumes:
        diskless = [name for name in there if not flavors[name].disk_gib]
        fit += tuple(
            there[name] for name in diskless if _carries(replace(flavors[name], disk_gib=least.disk_gib), least)
        )
    return Question(option, f"a flavor of at least {_size(least)}", fit, tuple(there.values()), given)


def user(host_image: FoundImage, given: str | None) -> Question:
    """Which login: that of the image's distribution, where it is known."""
    known = _distribution(host_image)
    fit = tuple(Candidate(each) for each in ((known,) if known else _DISTRIBUTIONS))
    there = fit if given is None else (Candidate(given),)
    return Question("--user", "the login of the host image", fit, there, given)


def _carries(one: Flavor, least: Flavor) -> bool:
    return one.vcpus >= least.vcpus and one.ram_mib >= least.ram_mib and one.disk_gib >= least.disk_gib


def _size(one: Flavor) -> str:
    disk = f"{one.disk_gib} GiB" if one.disk_gib else "no disk"
    return f"{one.vcpus} CPUs, {one.ram_mib} MiB, {disk}"


def _distribution(image: FoundImage) -> str:
    """``ubuntu``, ``debian`` or nothing; what the image says of itself comes before its name."""
    found = re.search("|".join(_DISTRIBUTIONS), f"{image.distribution} {image.name}".lower())
    return found[0] if found else ""
