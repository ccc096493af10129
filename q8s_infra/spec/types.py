"""Field types that several models share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

from q8s_infra.arch import architecture, is_architecture
from q8s_infra.defaults import LINK_PREFIX

_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_PORT_MAX: Final = 65535
_ID: Final = r"[0-9a-f-]{32,36}"
_UNUSABLE: Final = {
    "0.0.0.0/8": "of no address (unspecified)",
    "127.0.0.0/8": "of each machine's own (loopback)",
    "169.254.0.0/16": "of one link only (link-local), the cloud's metadata too",
    "224.0.0.0/4": "of groups (multicast)",
}
"""Ranges whose addresses neither kubelet nor Kubernetes' endpoints take (ValidateNonSpecialIP in core validation)."""


class Model(BaseModel):
    """A part of the description: camelCase in YAML, nothing unknown, nothing changed later."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def matching(pattern: str, words: str) -> AfterValidator:
    """Text that a pattern fits as a whole, refused in words: a user is never shown the pattern."""
    fits = re.compile(pattern).fullmatch

    def checked(given: str) -> str:
        if not fits(given):
            raise ValueError(words)
        return given

    return AfterValidator(checked)


def form(name: str) -> WithJsonSchema:
    """What the reference calls such text (:mod:`q8s_infra.spec.reference`)."""
    return WithJsonSchema({"type": "string", "format": name})


def is_id(given: str) -> bool:
    """True for an id of OpenStack's, and not for a name."""
    return re.fullmatch(_ID, given) is not None


def _port_range(given: Any) -> tuple[int, int]:
    match = _PORTS.fullmatch(str(given)) if isinstance(given, int | str) else None
    ends = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= ends[0] <= ends[1] <= _PORT_MAX:
        raise ValueError("a port is a number from 1 to 65535, or a range such as 8000-8010")
    return ends


def _port_range_text(given: str) -> str:
    low, high = _port_range(given)
    return f"{low}-{high}"


def _network(given: Any) -> Any:
    """A network is text: of a number, Python would make one, too."""
    if not isinstance(given, str | IPv4Network):
        raise ValueError("must be text, an IPv4 network such as 10.0.0.0/16")
    if isinstance(given, str) and ":" in given:
        raise ValueError("is of IPv6, and only IPv4 works here: must be an IPv4 network such as 10.0.0.0/16")
    return given


def _usable(given: IPv4Network) -> IPv4Network:
    """Refuses a network that has addresses which no machine or pod can have."""
    for network, whose in _UNUSABLE.items():
        if given.overlaps(IPv4Network(network)):
            raise ValueError(
                f"has addresses of {network}, which are {whose}: take a private range, "
                "a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
            )
    return given


def _link(given: IPv4Network) -> IPv4Network:
    if given.prefixlen != LINK_PREFIX:
        raise ValueError(f"is a /{given.prefixlen}: the link has two addresses, write {given[0]}/{LINK_PREFIX}")
    return given


def _no_architecture_twice(given: Any) -> Any:
    """Refuses a mapping in which two names are of one architecture: the later one would be taken."""
    if isinstance(given, Mapping):
        known = [name for name in given if isinstance(name, str) and is_architecture(name)]
        times = Counter(architecture(name).name for name in known)
        twice = [name for name in known if times[architecture(name).name] > 1]
        if twice:
            raise ValueError(f"{' and '.join(twice)} are the same architecture, write one of them")
    return given


def _without_nul(given: str) -> str:
    if "\0" in given:
        raise ValueError("has a NUL character, which no name in OpenStack has")
    return given


def _checksum(placeholder: str) -> Any:
    """A SHA-256, where zeros are refused with what to write in their place."""

    def checked(given: str) -> str:
        if not given.strip("0"):
            raise ValueError(f"zeros are a placeholder, {placeholder}")
        return given

    return AfterValidator(checked)


DnsLabel = Annotated[
    str,
    matching(
        r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        "must be 1 to 63 letters a to z, digits and '-', with a letter or a digit at both ends (no capitals, no '_')",
    ),
    form("dns-label"),
]
ArchitectureName = Annotated[str, AfterValidator(lambda name: architecture(name).name)]
ByArchitecture = BeforeValidator(_no_architecture_twice)
Cidr = Annotated[IPv4Network, BeforeValidator(_network)]
UsableCidr = Annotated[Cidr, AfterValidator(_usable)]
LinkCidr = Annotated[UsableCidr, AfterValidator(_link)]
PortRange = Annotated[
    tuple[int, int], BeforeValidator(lambda given: given if isinstance(given, tuple) else _port_range(given))
]
PortRangeText = Annotated[str, AfterValidator(_port_range_text)]
Sha256 = Annotated[
    str,
    matching(r"[0-9a-f]{64}", "a SHA-256 is 64 hexadecimal digits in lower case, with nothing before or after them"),
    form("sha256"),
]
ImageSha256 = Annotated[Sha256, _checksum("write the image's checksum, the publisher's SHA256SUMS says it")]
KeySha256 = Annotated[Sha256, _checksum("write the checksum of the key's file, or pin the key by its fingerprints")]
Version = Annotated[
    str,
    matching(
        r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}",
        "a version is three numbers with dots between them, such as 1.34.4: without a v before them, and no alpha, "
        "beta or release candidate",
    ),
    form("version"),
]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    AfterValidator(_without_nul),
]
Id = Annotated[str, matching(_ID, "an id of OpenStack is 32 hexadecimal digits in lower case, with '-' or without")]
