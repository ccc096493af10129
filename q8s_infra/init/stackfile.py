"""A stack's first file, with comments; and what stays of one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from q8s_infra.init.decision import Decision
from q8s_infra.init.shipped import shipped
from q8s_infra.render.templates import render
from q8s_infra.spec import Mistake, SpecErrors

# What Pulumi itself writes at the top of a stack's file.
_PULUMIS_OWN: Final = ("secretsprovider", "encryptedkey", "encryptionsalt", "environment")


def text(decision: Decision, kept: Mapping[str, Any]) -> str:
    """A stack's file.

    Args:
        decision: what it says of the cloud; all else is as in the shipped one.
        kept: what stands in it beside the cluster, see :func:`kept`.
    """
    default = shipped()
    network = {decision.network_field: decision.network.chosen.value}
    if decision.subnet:
        network["subnet"] = decision.subnet.chosen.value
    zone = {"availabilityZone": decision.zone.chosen.value} if decision.zone else {}
    types = {
        name: {
            **described,
            "flavor": decision.worker_flavor.chosen.value,
            **zone,
            **_boot_volume(decision.worker_volume),
        }
        for name, described in default["nodeTypes"].items()
    }
    return render(
        "stack.yaml.j2",
        config=kept.get("config", {}),
        kept={name: value for name, value in kept.items() if name != "config"},
        network=decision.network,
        network_fields=network,
        subnet=decision.subnet,
        zone=decision.zone,
        control_planes={
            "flavor": decision.control_plane_flavor.chosen.value,
            **zone,
            **_boot_volume(decision.control_plane_volume),
        },
        host_image=decision.host_image,
        control_plane_flavor=decision.control_plane_flavor,
        worker_flavor=decision.worker_flavor,
        user=decision.user,
        allowed_cidrs=[str(each) for each in decision.allowed_cidrs],
        external=decision.external,
        node_types=types,
        workers=default["workers"],
    )


def _boot_volume(gib: int | None) -> dict[str, Any]:
    return {} if gib is None else {"bootVolume": {"size": f"{gib}GiB"}}


def kept(path: Path, *, force: bool) -> dict[str, Any]:
    """What a new file at this path keeps of the one there: all but the cluster.

    Among it is what Pulumi needs to read the stack's secrets (``encryptionsalt``): a stack without it is lost.

    Raises:
        SpecErrors: there is a file and no force, or nobody can tell what is in it.
    """
    if not path.exists():
        return {}
    if not force:
        raise SpecErrors([Mistake(str(path), None, "is there already, --force writes its q8s:cluster anew")])
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise SpecErrors([Mistake(str(path), None, f"is no valid YAML, mend or remove it: {error}")]) from None
    config = content.get("config") or {} if isinstance(content, dict) else None
    if not isinstance(config, dict):
        raise SpecErrors([Mistake(str(path), None, "is no stack's file, remove it")])
    own = {name: content[name] for name in _PULUMIS_OWN if name in content}
    config = {name: value for name, value in config.items() if name not in {"q8s:cluster", "q8s:clusterFile"}}
    return {**own, "config": config}


def write(path: Path, content: str, *, force: bool) -> None:
    """Write a stack's file, whole or not at all.

    Raises:
        OSError: there is one and no force, or it can't be written.
    """
    if not force:
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
        return
    new = path.with_name(f".{path.name}.new")
    new.write_text(content, encoding="utf-8")
    new.replace(path)
