"""The prototype's ``cluster.yaml``, read into our own format.

Source of the fields: the Q8S paper, section 3.1 (Configuration) and Listing A1. Units there are MB of memory and GB of
storage as QEMU takes them, so MiB and GiB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from q8s_infra.spec.errors import Mistake, SpecErrors

TAGS: Final = ("!ClusterData", "!VmType")

_FIELDS: Final = {
    "git_url", "private_network_id", "remote_ip_prefix", "default_image_name", "name_of_initial_instance",
    "security_groups", "required_tcp_ports", "required_udp_ports", "worker_port_range_min", "worker_port_range_max",
    "master_node_flavor", "number_additional_master_nodes", "worker", "vm_types",
}  # fmt: skip
_TYPE_FIELDS: Final = {
    "architecture", "num_cpus", "cpu_model", "machine_model", "ram", "storage", "openstack_flavor", "qemu-args",
}  # fmt: skip
_OWN_GROUP: Final = "q8s-cluster"


class _Loader(yaml.SafeLoader):
    """Safe YAML that knows the prototype's two tags."""


def _mapping(loader: yaml.SafeLoader, node: yaml.Node) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
    return loader.construct_mapping(node, deep=True)


for _tag in TAGS:
    _Loader.add_constructor(_tag, _mapping)


def is_prototype(text: str) -> bool:
    """True where a text carries the prototype's tags or its first field."""
    return any(tag in text for tag in TAGS) or "number_additional_master_nodes" in text


def read(path: Path) -> dict[str, Any]:
    """A prototype's file in our format.

    Raises:
        SpecErrors: the file can't be read, is no YAML, or has fields that the prototype did not have.
    """
    try:
        content = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise SpecErrors([Mistake("q8s:clusterFile", str(path), f"cannot be read: {error.strerror}")]) from None
    except yaml.YAMLError as error:
        raise SpecErrors([Mistake("q8s:clusterFile", str(path), f"is no valid YAML: {error}")]) from None
    if not isinstance(content, dict):
        raise SpecErrors([Mistake("q8s:clusterFile", str(path), "must be a mapping")])
    return convert(content)


def convert(given: dict[str, Any]) -> dict[str, Any]:
    """A prototype's content in our format; values stay as they are, so that validation names what is wrong.

    Raises:
        SpecErrors: fields that the prototype did not have, or sizes that are no numbers.
    """
    mistakes = [
        Mistake(name, given[name], "is no field of a prototype's cluster.yaml") for name in sorted(set(given) - _FIELDS)
    ]
    types = given.get("vm_types") or {}
    if not isinstance(types, dict):
        raise SpecErrors([*mistakes, Mistake("vm_types", types, "must be a mapping of names to !VmType")])
    converted = {name: _node_type(f"vm_types.{name}", body, mistakes) for name, body in types.items()}
    ports = range(given["worker_port_range_min"], given["worker_port_range_max"] + 1) if _has_range(given) else None
    additional = given.get("number_additional_master_nodes", 0)
    if isinstance(additional, bool) or not isinstance(additional, int) or additional < 0:
        mistakes.append(Mistake("number_additional_master_nodes", additional, "must be a whole number, 0 or more"))
    if mistakes:
        raise SpecErrors(mistakes)
    result: dict[str, Any] = {
        "network": _dropped({"id": given.get("private_network_id"), "cidr": given.get("remote_ip_prefix")}),
        "hostImage": _dropped({"name": given.get("default_image_name")}),
        "controlPlanes": _dropped(
            {
                "flavor": given.get("master_node_flavor"),
                "count": additional + 1,
                "name": given.get("name_of_initial_instance"),
            }
        ),
        "securityGroups": [name for name in given.get("security_groups") or [] if name != _OWN_GROUP],
        "openPorts": {
            "tcp": [*(given.get("required_tcp_ports") or []), *([f"{ports[0]}-{ports[-1]}"] if ports else [])],
            "udp": given.get("required_udp_ports") or [],
            **_dropped({"cidr": given.get("remote_ip_prefix")}),
        },
        "nodeTypes": converted,
        "workers": given.get("worker") or {},
    }
    if ports:
        result["nodePorts"] = f"{ports[0]}-{ports[-1]}"
    return result


def _node_type(path: str, body: Any, mistakes: list[Mistake]) -> dict[str, Any]:
    if not isinstance(body, dict):
        mistakes.append(Mistake(path, body, "must be a !VmType mapping"))
        return {}
    mistakes += [
        Mistake(f"{path}.{name}", body[name], "is no field of a !VmType") for name in sorted(set(body) - _TYPE_FIELDS)
    ]
    sizes = {}
    for name, ours, unit in (("ram", "memory", "MiB"), ("storage", "disk", "GiB")):
        amount = body.get(name)
        if isinstance(amount, bool) or not isinstance(amount, int) or amount <= 0:
            mistakes.append(Mistake(f"{path}.{name}", amount, f"must be a positive whole number ({unit})"))
        else:
            sizes[ours] = f"{amount}{unit}"
    arguments = body.get("qemu-args") or []
    machine = body.get("machine_model")
    return _dropped(
        {
            "architecture": body.get("architecture"),
            "cpus": body.get("num_cpus"),
            "cpuModel": body.get("cpu_model"),
            # The prototype kept "virt" for all; on x86_64 libvirt's answer to it was a PC.
            "machine": None if machine == "virt" else machine,
            "flavor": body.get("openstack_flavor"),
            "qemuArgs": arguments.split() if isinstance(arguments, str) else arguments,
            **sizes,
        }
    )


def _has_range(given: dict[str, Any]) -> bool:
    return all(isinstance(given.get(f"worker_port_range_{end}"), int) for end in ("min", "max"))


def _dropped(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
