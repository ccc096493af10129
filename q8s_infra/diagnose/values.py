"""The stack's own secrets, in all the ways in which they may stand in a log.

They are what Pulumi marks as secret in the exported state, and what is derived from the seed.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus

import yaml

from q8s_infra.diagnose.patterns import found_by_patterns
from q8s_infra.hostkeys import derive, snapshot_key, states_key
from q8s_infra.ssh import NoState, stack_keys

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
"""By this key Pulumi marks what is no plain value, and by this value a secret (sdk/go/common/resource/sig.go)."""
SECRET_MARK: Final = {_SIGNATURE: "1b47061264138c4ac30d75fd1eb44270"}

_SHORTEST: Final = 6
"""In characters; a shorter value would be found in words that are no secrets."""
_DEPTH: Final = 6
_PUBLIC_NAMES: Final = re.compile(
    r"(?:host|user|username|name|server|cluster|port|hostKey|publicKey|certificate-authority-data|endpoint|link"
    r"|apiVersion|kind|namespace|current-context|context|ca_?cert_?hash|mode|path|image|controlPlaneEndpoint|.*Subnet)",
    re.IGNORECASE,
)
_PUBLIC_VALUES: Final = re.compile(
    # Public keys, addresses, names of hosts with a port, digests, ids of OpenStack, versions, paths.
    r"(?:ssh-|ecdsa-)\S+ .*|[\d.]+(?:/\d+)?(?::\d+)?|[0-9a-f:]*:[0-9a-f:]*|sha\d+:[0-9a-f]+|v?\d+(?:\.\d+)+\S*"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|/[\w./-]+|[a-z][a-z-]*|true|false|-----BEGIN CERTIFICATE-----.*",
    re.DOTALL,
)
_KEY_DOCUMENTS: Final = frozenset({"token", "certificate-key", "states.key"})
"""Documents of steps that are a secret as a whole."""


def stack_values(deployment: Mapping[str, Any], machines: Iterable[str]) -> frozenset[str]:
    """Return the stack's secrets.

    Args:
        deployment: the stack's state, exported with its secrets.
        machines: whose SSH host keys are derived, such as ``host/demo-x86-small-0``.
    """
    marked = (json.loads(plain) for plain in set(_marked(deployment)))
    values = {value for each in marked for value in _leaves(each, "", _DEPTH)}
    try:
        keys = stack_keys(deployment)
    except NoState:
        pass
    else:
        values |= {keys.private, keys.seed, states_key(keys.seed), snapshot_key(keys.seed).hex()}
        values |= {derive(keys.seed, machine).private for machine in machines}
    # What a secret is in base64, is one, too: a kubeconfig's key.
    values = {value.strip() for each in values for value in (each, _decoded(each))}
    return frozenset(value for value in values if len(value) >= _SHORTEST and not _PUBLIC_VALUES.fullmatch(value))


def forms(value: str) -> set[str]:
    """Return a secret as it may stand in a log: whole, by line, and encoded."""
    lines = [line.strip() for line in value.splitlines()]
    # A PEM's last line may be short, and its first says nothing.
    plain = {value, *(line for line in lines if len(line) >= (16 if lines[1:] else _SHORTEST) and "-----" not in line)}
    found = set(plain)
    for each in plain:
        raw = each.encode()
        escaped, quoted = json.dumps(each)[1:-1], quote(each, safe="")
        found |= {
            escaped, json.dumps(escaped)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1],
            quote(each), quoted, quote_plus(each), re.sub("%..", lambda hexed: hexed[0].lower(), quoted),
            html.escape(each), each.replace("'", "'\\''"), each.replace("'", "''"), repr(each)[1:-1],
            raw.hex(), raw.hex().upper(), raw.hex(":"), raw.hex(" "),
        }  # fmt: skip
        found |= set(_base64_forms(raw)) | set(_base64_forms(raw + b"\n"))
        # A key that is 32 bytes in hex is handled as bytes, too.
        if re.fullmatch(r"(?:[0-9a-f]{2}){16,}", each):
            found |= set(_base64_forms(bytes.fromhex(each)))
    return {form for form in found if len(form) >= _SHORTEST}


def _base64_forms(raw: bytes) -> Iterator[str]:
    """A value in base64, alone, in lines, and in the middle of what was encoded with it, at each alignment."""
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        whole = alphabet(raw).decode()
        yield whole
        yield whole.rstrip("=")
        for width in (64, 76):
            yield from (line for at in range(0, len(whole), width) if len(line := whole[at : at + width]) >= 16)  # noqa: PLR2004
        for shift in range(3):
            # What shares its bits with a neighbour is left out.
            encoded = alphabet(b"\0" * shift + raw).decode()
            inner = encoded[(0, 2, 3)[shift] : len(encoded) - (0, 3, 2)[(shift + len(raw)) % 3]]
            if len(inner) >= 12:  # noqa: PLR2004
                yield inner


def _marked(node: Any) -> Iterator[str]:
    """All values that Pulumi marks as secret, wherever they stand in a state, as JSON."""
    if isinstance(node, Mapping):
        if SECRET_MARK.items() <= node.items() and "plaintext" in node:
            yield str(node["plaintext"])
            return
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _marked(each)


def _leaves(value: Any, name: str, depth: int) -> Iterator[str]:
    """The secrets in a value that is marked as one: its texts, but for those that are documents with public parts."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, str(key), depth)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each, name, depth)
    elif isinstance(value, str) and not _PUBLIC_NAMES.fullmatch(name):
        yield from _texts(value, name, depth)


def _texts(text: str, name: str, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    if files := _files(text):
        for file, content in files.items():
            yield from _texts(content, file.rpartition("/")[2], depth - 1)
        return
    whole = name in _KEY_DOCUMENTS or "\n" not in text.strip() or "PRIVATE KEY-----" in text[:60]
    if whole and not _is_json(text):
        yield text
    yield from found_by_patterns(text)
    if decoded := _decoded(text):
        yield from _texts(decoded, name, depth - 1)
    for document in _structured(text):
        # JSON that is marked as a secret is one but for its public parts; files have secrets among other things.
        if depth == _DEPTH and _is_json(text):
            yield from _leaves(document, name, depth - 1)
        else:
            yield from _named(document, depth - 1)


def _named(node: Any, depth: int) -> Iterator[str]:
    """Of a document with public parts: texts under names of secrets, as the patterns have them, and its documents."""
    if isinstance(node, Mapping):
        for key, each in node.items():
            if isinstance(each, str):
                found = found_by_patterns(f"{key}: {json.dumps(each)}")
                yield from [each] if found else []
                if "\n" in each:
                    yield from _texts(each, str(key), depth)
            else:
                yield from _named(each, depth)
    elif isinstance(node, list):
        for each in node:
            yield from _named({"": each} if isinstance(each, str) else each, depth)


def _is_json(text: str) -> bool:
    """Whether a text has others in it. A password may look like a number."""
    try:
        return isinstance(json.loads(text), (Mapping, list, str))
    except ValueError:
        return False


@lru_cache
def _structured(text: str) -> list[Any]:
    """A text's documents, where it is JSON or YAML."""
    if not re.match(r"\s*[{\[\"#]|---|\w[\w.-]*:", text):
        return []
    with suppress(ValueError):
        return [json.loads(text)]
    try:
        return [each for each in yaml.safe_load_all(text) if isinstance(each, (Mapping, list, str)) and each != text]
    except yaml.YAMLError:
        return []


def _files(text: str) -> dict[str, str]:
    """Documents of a step, as :func:`q8s_infra.remote.archive` sends them."""
    if not text.startswith("H4sI"):
        return {}
    try:
        raw = gzip.decompress(base64.b64decode(text))
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            return {
                member.name: content.read().decode(errors="replace")
                for member in tar
                if (content := tar.extractfile(member))
            }
    except (ValueError, OSError, EOFError, tarfile.TarError):
        return {}


def _decoded(text: str) -> str:
    """The text that a value is in base64, or nothing."""
    compact = "".join(text.split())
    if len(compact) < 16 or not re.fullmatch(r"[A-Za-z0-9+/]+=*", compact):  # noqa: PLR2004
        return ""
    try:
        found = base64.b64decode(compact, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return found if found.replace("\n", "").isprintable() else ""
