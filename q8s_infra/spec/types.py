"""Field types that several models share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from q8s_infra.arch import architecture, is_architecture

_LABEL_KEY: Final = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_TAINT_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_PORT_MAX: Final = 65535
_ID: Final = r"^[0-9a-f-]{32,36}$"


class Model(BaseModel):
    """A part of the description: camelCase in YAML, nothing unknown, nothing changed later."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def is_id(given: str) -> bool:
    """True for an id of OpenStack's, and not for a name."""
    return re.fullmatch(_ID, given) is not None


def _label_key(key: str) -> str:
    if not _LABEL_KEY.fullmatch(key):
        raise ValueError("a label's key is [prefix/]name, of letters, digits, '-', '_' and '.', 63 characters at most")
    return key


def _label_value(given: Any) -> str:
    value = given if isinstance(given, str) else str(given).lower() if isinstance(given, bool) else str(given)
    if given is None or not _LABEL_VALUE.fullmatch(value):
        raise ValueError("a label's value is of letters, digits, '-', '_' and '.', 63 characters at most")
    return value


def _taint(taint: str) -> str:
    key, colon, effect = taint.rpartition(":")
    name, _, value = key.partition("=")
    if not colon or effect not in _TAINT_EFFECTS or not _LABEL_KEY.fullmatch(name) or not _LABEL_VALUE.fullmatch(value):
        raise ValueError(f"a taint is key[=value]:effect, the effect one of {', '.join(_TAINT_EFFECTS)}")
    return taint


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


def _checksum(placeholder: str) -> Any:
    """A SHA-256, where zeros are refused with what to write in their place."""

    def checked(given: str) -> str:
        if not given.strip("0"):
            raise ValueError(f"zeros are a placeholder, {placeholder}")
        return given

    return AfterValidator(checked)


DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
ArchitectureName = Annotated[str, AfterValidator(lambda name: architecture(name).name)]
ByArchitecture = BeforeValidator(_no_architecture_twice)
Cidr = Annotated[IPv4Network, BeforeValidator(_network)]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, BeforeValidator(_label_value)]
Taint = Annotated[str, AfterValidator(_taint)]
PortRange = Annotated[
    tuple[int, int], BeforeValidator(lambda given: given if isinstance(given, tuple) else _port_range(given))
]
PortRangeText = Annotated[str, AfterValidator(_port_range_text)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ImageSha256 = Annotated[Sha256, _checksum("write the image's checksum, the publisher's SHA256SUMS says it")]
KeySha256 = Annotated[Sha256, _checksum("write the checksum of the key's file, or pin the key by its fingerprints")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
Url = Annotated[str, StringConstraints(pattern=r"^(https?|file)://\S+$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Id = Annotated[str, StringConstraints(pattern=_ID)]
