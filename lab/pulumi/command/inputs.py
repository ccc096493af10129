"""What may be given to each resource, and what is made of it before it is used."""

from __future__ import annotations

from typing import Final

from lab.pulumi.command.output import LOGGING
from lab.pulumi.wire import UNKNOWN, Archive, Asset, Properties, Secret, Value, as_secret, is_known, plain

LOCAL: Final = "command:local:Command"
REMOTE: Final = "command:remote:Command"
COPY: Final = "command:remote:CopyToRemote"

_TEXT: Final = (str,)
_COMMON: Final[dict[str, tuple[type, ...]]] = {
    "create": _TEXT,
    "update": _TEXT,
    "delete": _TEXT,
    "stdin": _TEXT,
    "logging": _TEXT,
    "environment": (dict,),
    "triggers": (list,),
    "addPreviousOutputInEnv": (bool,),
}
INPUTS: Final[dict[str, dict[str, tuple[type, ...]]]] = {
    LOCAL: {**_COMMON, "interpreter": (list,), "dir": _TEXT},
    REMOTE: {**_COMMON, "connection": (dict,)},
    COPY: {"connection": (dict,), "source": (Archive, Asset), "remotePath": _TEXT, "triggers": (list,)},
}
_REQUIRED: Final = {LOCAL: (), REMOTE: ("connection",), COPY: ("connection", "source", "remotePath")}
_UNSUPPORTED: Final = {"assetPaths", "archivePaths"}
_CONNECTION: Final[dict[str, tuple[type, ...]]] = {
    "host": _TEXT,
    "port": (int, float),
    "user": _TEXT,
    "password": _TEXT,
    "privateKey": _TEXT,
    "privateKeyPassword": _TEXT,
    "agentSocketPath": _TEXT,
    "dialErrorLimit": (int, float),
    "perDialTimeout": (int, float),
    "hostKey": _TEXT,
    "proxy": (dict,),
}
_CONNECTION_DEFAULTS: Final = {"user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15}
_CONNECTION_SECRETS: Final = ("password", "privateKey", "privateKeyPassword")

Failures = list[tuple[str, str]]


def check(kind: str, given: Properties) -> tuple[Properties, Failures]:
    """Complete the inputs of one resource with defaults and secret marks.

    Returns:
        The inputs, and what is wrong with them: pairs of property path and reason.
    """
    inputs = {key: value for key, value in given.items() if not key.startswith("__")}
    failures: Failures = []
    for key in sorted(_UNSUPPORTED & inputs.keys()):
        failures.append((key, "not supported by the stand-in for the command plugin"))
        del inputs[key]
    _check_types(inputs, INPUTS[kind], "", failures)
    logging = plain(inputs.get("logging"))
    if isinstance(logging, str) and is_known(logging) and logging not in LOGGING:
        failures.append(("logging", f'"{logging}" is not one of {", ".join(LOGGING)}'))
    failures += [(key, "missing required property") for key in _REQUIRED[kind] if inputs.get(key) is None]
    if inputs.get("connection") is not None:
        connection = _with_connection_defaults(inputs["connection"], "connection", failures)
        inputs["connection"] = as_secret(connection)
    if kind == COPY:
        _check_source(plain(inputs.get("source")), failures)
    return inputs, failures


def _check_source(source: Value, failures: Failures) -> None:
    if source is UNKNOWN:
        failures.append(("source", "is not known yet, which the original does not take either, not even in a preview"))
    elif isinstance(source, Asset) and not source.path:
        failures.append(("source", "the stand-in for the command plugin supports only a FileAsset or a FileArchive"))


def _with_connection_defaults(given: Value, path: str, failures: Failures) -> Value:
    settings = given.value if isinstance(given, Secret) else given
    if not isinstance(settings, dict):
        return settings
    allowed = {key: types for key, types in _CONNECTION.items() if path == "connection" or key != "proxy"}
    _check_types(settings, allowed, path, failures)
    if settings.get("host") is None:
        failures.append((f"{path}.host", "missing required property"))
    complete = {**_CONNECTION_DEFAULTS, **{key: value for key, value in settings.items() if value is not None}}
    for key in _CONNECTION_SECRETS:
        if key in complete:
            complete[key] = as_secret(complete[key])
    if "proxy" in complete:
        proxy = _with_connection_defaults(complete["proxy"], f"{path}.proxy", failures)
        complete["proxy"] = Secret(proxy) if isinstance(complete["proxy"], Secret) else proxy
    return complete


def _check_types(given: Properties, allowed: dict[str, tuple[type, ...]], path: str, failures: Failures) -> None:
    for key, value in given.items():
        where = f"{path}.{key}" if path else key
        bare = value.value if isinstance(value, Secret) else value
        if key not in allowed:
            failures.append((where, f"no such property; there are {', '.join(sorted(allowed))}"))
        elif bare is not None and bare is not UNKNOWN and not isinstance(bare, allowed[key]):
            failures.append((where, f"is a {type(bare).__name__}, and not a {allowed[key][-1].__name__}"))
