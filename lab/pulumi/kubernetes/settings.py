"""The provider's own settings: what they are, and when a change of them needs every object made anew."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lab.pulumi.kubernetes.cluster import active_cluster, parse_kubeconfig
from lab.pulumi.wire import Properties, changes, is_known, plain

_PREFIX: Final = "kubernetes:config:"
_IDENTIFIER: Final = "clusterIdentifier"
_WHERE: Final = ("kubeconfig", "context", "cluster")
_SUPPORTED: Final = {
    *_WHERE,
    _IDENTIFIER,
    "namespace",
    "deleteUnreachable",
    "skipUpdateUnreachable",
    "enableServerSideApply",
    "enablePatchForce",
    "enableConfigMapMutable",
    "enableSecretMutable",
    "upsertExistingObjects",
    "suppressDeprecationWarnings",
    "suppressHelmHookWarnings",
}
_FROM_ENVIRONMENT: Final = {
    "deleteUnreachable": "PULUMI_K8S_DELETE_UNREACHABLE",
    "skipUpdateUnreachable": "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE",
    "enableServerSideApply": "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY",
    "enablePatchForce": "PULUMI_K8S_ENABLE_PATCH_FORCE",
    "enableConfigMapMutable": "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE",
    "enableSecretMutable": "PULUMI_K8S_ENABLE_SECRET_MUTABLE",
}


@dataclass(frozen=True)
class Settings:
    """What a provider was configured with."""

    kubeconfig: str | None = None
    context: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    delete_unreachable: bool = False
    skip_update_unreachable: bool = False
    patch_force: bool = False
    config_map_mutable: bool = False
    secret_mutable: bool = False
    upsert: bool = False

    @classmethod
    def read(cls, given: Properties) -> Settings:
        """Read them as `Configure` gets them, with the environment's for those that are absent."""
        values = plain({key.removeprefix(_PREFIX): value for key, value in given.items()})
        text = {key: value for key in ("context", "cluster", "namespace") if (value := values.get(key))}
        kubeconfig = values.get("kubeconfig") or os.environ.get("KUBECONFIG") or _default_kubeconfig()
        if isinstance(kubeconfig, dict):
            kubeconfig = json.dumps(kubeconfig)
        return cls(
            kubeconfig=kubeconfig,
            delete_unreachable=_is_on(values, "deleteUnreachable"),
            skip_update_unreachable=_is_on(values, "skipUpdateUnreachable"),
            patch_force=_is_on(values, "enablePatchForce"),
            config_map_mutable=_is_on(values, "enableConfigMapMutable"),
            secret_mutable=_is_on(values, "enableSecretMutable"),
            upsert=_is_on(values, "upsertExistingObjects"),
            **text,
        )


def check(given: Properties) -> list[tuple[str, str]]:
    """What is wrong with a provider's inputs: pairs of property and reason."""
    values = plain(given)
    failures = [
        (key, "not supported by the stand-in for the kubernetes plugin")
        for key, value in sorted(values.items())
        if key not in _SUPPORTED and key != "version" and value not in (None, "", {}, "{}", False, "false")
    ]
    server_side = values.get("enableServerSideApply", os.environ.get(_FROM_ENVIRONMENT["enableServerSideApply"]))
    if server_side in (False, "false"):
        failures.append(("enableServerSideApply", "the stand-in for the kubernetes plugin applies on the server only"))
    return failures


def replacements(old: Properties, new: Properties) -> tuple[dict[str, str], set[str]]:
    """Compare two provider configurations.

    Returns:
        What differs (as `wire.changes` tells it), and the settings because of which the provider, and with it all
        objects, must be replaced: another cluster identifier, or, where none is given, another cluster in the
        kubeconfig or one that is not known yet.
    """
    changed = {path.split(".")[0]: kind for path, kind in changes(plain(old), plain(new)).items()}
    if not changed:
        return {}, set()
    before, after = old.get(_IDENTIFIER), new.get(_IDENTIFIER)
    if after is not None and plain(before) == plain(after):
        return changed, set()
    replaced = {_IDENTIFIER} if before is not None and after is not None and _IDENTIFIER in changed else set()
    unknown = {key for key in _WHERE if key in new and not is_known(new[key])}
    if unknown:
        return changed, replaced | unknown
    if _cluster_of(old) != _cluster_of(new) and _cluster_of(old) and _cluster_of(new):
        replaced |= {key for key in _WHERE if key in changed}
    return changed, replaced


def _cluster_of(given: Properties) -> dict[str, Any] | None:
    values = plain(given)
    text = values.get("kubeconfig")
    if not isinstance(text, str) or not text:
        return None
    return active_cluster(parse_kubeconfig(text), values.get("context"), values.get("cluster"))[0]


def _is_on(values: dict[str, Any], key: str) -> bool:
    value = values.get(key)
    if value in (None, ""):
        value = os.environ.get(_FROM_ENVIRONMENT.get(key, ""), "")
    return value is True or str(value).lower() == "true"


def _default_kubeconfig() -> str | None:
    path = Path.home() / ".kube" / "config"
    return str(path) if path.is_file() else None
