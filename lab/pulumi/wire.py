"""Property values as the engine sends them: plain Python values, and the marks that JSON has no word for.

The wire form is a protobuf ``Struct`` in which a string of a fixed value stands for "not known yet" and a map with
a signature key for a secret, an asset or an archive (Pulumi's ``resource/plugin/rpc.go``). Everything a plugin computes
with is made of None, bool, float, str, list, dict, `UNKNOWN`, `Secret`, `Asset` and `Archive`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format, struct_pb2  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"
_ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_PLAIN_KEY: Final = re.compile(r"^[A-Za-z_$][\w$]*$")

Value = Any
Properties = dict[str, Value]


class Unknown:
    """A value that only the coming update will tell; there is one instance, `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in the state and masks on the screen."""

    value: Value

    def __repr__(self) -> str:
        return "Secret(...)"


@dataclass(frozen=True, eq=False)
class Asset:
    """Contents that a program passes on: a file, a text or what a URI leads to.

    Two are the same where their contents are, wherever those come from (Pulumi's ``Asset.Equals``).

    Attributes:
        fields: ``hash`` (SHA-256 of the contents, computed by the engine) and one of ``path``, ``text`` and ``uri``;
            what an old state holds may come as the hash alone.
    """

    fields: Properties

    @property
    def hash(self) -> str:
        """The hash of the contents; empty where the engine has not told it."""
        return str(self.fields.get("hash", ""))

    @property
    def path(self) -> str:
        """The path as the program gave it; empty where the contents are no local file's."""
        return str(self.fields.get("path", ""))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Asset) and self.hash == other.hash != ""

    def __hash__(self) -> int:
        return hash(self.hash)


class Archive(Asset):
    """Several files: a directory's, an archive file's, or the ``assets`` among its fields (name to `Asset`)."""


def from_struct(struct: struct_pb2.Struct) -> Properties:
    """Read a property map off the wire."""
    return {key: _read(value) for key, value in json_format.MessageToDict(struct).items()}


def to_struct(properties: Mapping[str, Value]) -> struct_pb2.Struct:
    """Write a property map for the wire; absent values (None) on the top level are left out."""
    struct = struct_pb2.Struct()
    struct.update({key: _write(value) for key, value in properties.items() if value is not None})
    return struct


def plain(value: Value) -> Value:
    """The value with every secret mark taken off, for using it."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def is_known(value: Value) -> bool:
    """True when no part of the value is `UNKNOWN`."""
    return not any(item is UNKNOWN for item in _leaves(value))


def has_secrets(value: Value) -> bool:
    """True when any part of the value is marked as a secret."""
    if isinstance(value, dict):
        return any(has_secrets(item) for item in value.values())
    if isinstance(value, list):
        return any(has_secrets(item) for item in value)
    return isinstance(value, Secret)


def as_secret(value: Value) -> Value:
    """The value as one secret, unless it is absent, unknown or one already."""
    return value if value is None or value is UNKNOWN or isinstance(value, Secret) else Secret(value)


def changes(old: Properties, new: Properties) -> dict[str, str]:
    """Compare two property maps.

    Returns:
        Path of each difference (``connection.port``, ``triggers[0]``) to ``add``, ``delete`` or ``update``. A value
        that turned secret or public counts as updated, so that the state is written anew.
    """
    return dict(_changes(old, new, ""))


def _changes(old: Value, new: Value, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(old, Secret) and isinstance(new, Secret):
        yield from _changes(old.value, new.value, path)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _changes(old.get(key), new.get(key), _join(path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            yield from _changes(before, after, f"{path}[{index}]")
    elif old is None and new is not None:
        yield path, "add"
    elif old is not None and new is None:
        yield path, "delete"
    elif type(old) is not type(new) or old != new:
        yield path, "update"


def _join(path: str, key: str) -> str:
    if not _PLAIN_KEY.match(key):
        escaped = key.replace('"', '\\"')
        return f'{path}["{escaped}"]'
    return f"{path}.{key}" if path else key


def _leaves(value: Value) -> Iterator[Value]:
    if isinstance(value, Secret):
        yield from _leaves(value.value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _read(value: Value) -> Value:
    if isinstance(value, dict):
        items = {key: _read(item) for key, item in value.items()}
        signature = items.get(_SIGNATURE)
        if signature == _SECRET:
            return Secret(items.get("value"))
        if signature in (_ASSET, _ARCHIVE):
            del items[_SIGNATURE]
            return Asset(items) if signature == _ASSET else Archive(items)
        return items
    if isinstance(value, list):
        return [_read(item) for item in value]
    return UNKNOWN if value == _UNKNOWN else value


def _write(value: Value) -> Value:
    if value is UNKNOWN:
        return _UNKNOWN
    if isinstance(value, Secret):
        return {_SIGNATURE: _SECRET, "value": _write(value.value)}
    if isinstance(value, Asset):
        return {_SIGNATURE: _ARCHIVE if isinstance(value, Archive) else _ASSET, **_write(value.fields)}
    if isinstance(value, dict):
        return {key: _write(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_write(item) for item in value]
    return value
