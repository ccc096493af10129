"""The configuration reference, from the models: what ``docs/configuration.md`` says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from q8s_infra.spec.cluster import ClusterSpec

Schema = Mapping[str, Any]

_HEAD: Final = """# Configuration

What stands under `q8s:cluster` in a stack's file, `Pulumi.<stack>.yaml`. Made from the models by `make docs`.

Sizes are whole numbers with a unit (`4GiB`, `512MiB`, `20GB`), and so are periods (`90d`, `36h`). A field
without a default must be given. Every mistake is refused before anything is made, with the path of its field:
`python -m q8s_infra check --stack NAME`.

Beside it: `q8s:clusterFile`, the path of a prototype's `cluster.yaml`, over which `q8s:cluster` is laid; and
`q8s:offline: true`, which asks no cloud for flavors, quotas and addresses before it begins.
"""
_PATTERNS: Final = {
    r"^[0-9]{1,24}\s*[KMGT]i?B$": "size",
    r"^[0-9]{1,6}\s*[hd]$": "period",
}
_FORMATS: Final = {
    "ipv4network": "CIDR",
    "path": "path",
    "sha256": "SHA-256, 64 hexadecimal digits",
    "url": "URL",
    "version": "version, three numbers",
    "dns-label": "DNS label",
    "ssh-public-key": "SSH public key",
    "openpgp-fingerprint": "OpenPGP fingerprint, 40 hexadecimal digits",
    "pem-certificates": "one or more certificates in PEM, as text",
    "mirror-url": "`http://HOST[:PORT][/PATH]`, or https",
    "proxy-url": "`http://[USER:PASSWORD@]HOST:PORT`, or https",
}


def reference() -> str:
    """The reference as Markdown: a section a model, the cluster first, then in the order of their use."""
    whole = ClusterSpec.model_json_schema()
    models: dict[str, Schema] = {"ClusterSpec": whole}
    waiting = ["ClusterSpec"]
    for name in waiting:
        for each in _references(whole["$defs"].get(name, whole)["properties"]):
            if each not in models:
                models[each] = whole["$defs"][each]
                waiting.append(each)
    return "\n".join([_HEAD, *("\n".join(_section(name, models[name])) for name in waiting)])


def _section(name: str, model: Schema) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{model['description'].strip()}\n"
    yield "| field | value | default | meaning |\n| --- | --- | --- | --- |"
    for field, schema in model["properties"].items():
        default = "" if field in model.get("required", ()) else _default(schema)
        yield f"| `{field}` | {_value(schema)} | {default} | {schema.get('description', '')} |"
    yield ""


def _references(schema: Any) -> Iterator[str]:
    """The models that a schema names, in order."""
    if isinstance(schema, Mapping):
        if "$ref" in schema:
            yield _name(schema)
        for each in schema.values():
            yield from _references(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _value(schema: Schema) -> str:
    """What a field takes, in words."""
    if "$ref" in schema:
        return f"[{_name(schema)}](#{_name(schema).lower()})"
    if "anyOf" in schema:
        return ", or ".join(_value(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "boolean":
        return "`true`, `false`"
    return _plain(schema)


def _plain(schema: Schema) -> str:
    """What a field takes that is no model, choice or list of choices."""
    match schema:
        case {"prefixItems": _}:
            return "port or range"
        case {"type": "array", "items": items}:
            return f"list of: {_value(items)}"
        case {"type": "object", "patternProperties": by_pattern}:
            return f"mapping of names to: {_value(next(iter(by_pattern.values())))}"
        case {"type": "object", "additionalProperties": values}:
            return f"mapping of names to: {_value(values)}"
        case {"type": "integer"}:
            return f"whole number, {schema['minimum']} to {schema['maximum']}"
    return _PATTERNS.get(schema.get("pattern", ""), _FORMATS.get(schema.get("format", ""), "text"))


def _default(schema: Schema) -> str:
    """A default as it would be written; nothing where there is none of its own."""
    default = schema.get("default")
    if default is None or "$ref" in schema:
        return "none"
    return (
        f"`{json.dumps(default) if not isinstance(default, str) else default}`"
        if default not in ("", [], {})
        else "none"
    )
