"""The prototype's ``cluster.yaml``, read into our own format.

Source of the fields: the Q8S paper, section 3.1 (Configuration) and Listing A1, where all stand side by side; and the
file that was published with it (repository ``gwdg/pub-2025-Q8S``), which has some of them below ``cluster_definition``
and ``vm_types.types``. Both forms are read. Units there are MB of memory and GB of storage as QEMU takes them, so MiB
and GiB.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from q8s_infra.spec.document import Loader, content_of, text_of
from q8s_infra.spec.errors import Mistake, SpecErrors
from q8s_infra.spec.urls import has_password

TAGS: Final = ("!ClusterData", "!ClusterDefinition", "!VmTypes", "!VmType")

_DEFINITION, _TYPES = "cluster_definition", "types"
_NODE_FIELDS: Final = {"master_node_flavor", "number_additional_master_nodes", "worker"}
_FIELDS: Final = {
    "git_url", "private_network_id", "remote_ip_prefix", "default_image_name", "name_of_initial_instance",
    "security_groups", "required_tcp_ports", "required_udp_ports", "worker_port_range_min", "worker_port_range_max",
    "vm_types",
}  # fmt: skip
_ARGUMENTS: Final = ("qemu-args", "qemu_args")
_TYPE_FIELDS: Final = {
    "architecture", "num_cpus", "cpu_model", "machine_model", "ram", "storage", "openstack_flavor", *_ARGUMENTS,
}  # fmt: skip
# What the published file has there; the prototype did nothing with it.
_PLACEHOLDER: Final = "qemu-args"
_OWN_GROUP: Final = "q8s-cluster"


_RENAMED: Final = (
    (r"network(\.id)?", "private_network_id"),
    (r"(network|openPorts)\.cidr", "remote_ip_prefix"),
    (r"hostImage(\.name)?", "default_image_name"),
    (r"controlPlanes\.name", "name_of_initial_instance"),
    (r"controlPlanes(\.flavor)?", "master_node_flavor"),
    (r"openPorts\.(tcp|udp)(.*)", r"required_\1_ports\2"),
    (r"nodeTypes(.*)\.cpus", r"vm_types\1.num_cpus"),
    (r"nodeTypes(.*)\.cpuModel", r"vm_types\1.cpu_model"),
    (r"nodeTypes(.*)\.machine", r"vm_types\1.machine_model"),
    (r"nodeTypes(.*)\.memory", r"vm_types\1.ram"),
    (r"nodeTypes(.*)\.disk", r"vm_types\1.storage"),
    (r"nodeTypes(.*)\.flavor", r"vm_types\1.openstack_flavor"),
    (r"nodeTypes(.*)\.qemuArgs(.*)", r"vm_types\1.qemu-args\2"),
    (r"nodeTypes(.*)", r"vm_types\1"),
    (r"workers(.*)", r"worker\1"),
    (r"securityGroups.*", "security_groups"),
)
"""Our paths as patterns, and the prototype's in their place."""
_LONGEST_GROUP: Final = 255
_PORT_MAX: Final = 65535
_MOST_ADDITIONAL: Final = 8
_LARGEST: Final = 10**9


class _Loader(Loader):
    """Safe YAML that knows the prototype's tags."""


def _tagged(loader: _Loader, node: yaml.Node) -> Any:
    """What a tag stands before; where it is no mapping, the reader of the field says so."""
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


for _tag in TAGS:
    _Loader.add_constructor(_tag, _tagged)


def is_prototype(text: str) -> bool:
    """True where a text carries the prototype's tags or its first field."""
    return any(tag in text for tag in TAGS) or "number_additional_master_nodes" in text


@dataclass(frozen=True)
class Form:
    """Where a file has the fields that one form has below others.

    Attributes:
        definition: the nodes' fields are below ``cluster_definition``.
        types: the types are below ``vm_types.types``.
    """

    definition: bool = False
    types: bool = False

    def named(self, mistake: Mistake) -> Mistake:
        """A mistake by the file's own name of its field, for one by ours or by that of the other form."""
        path = mistake.path
        for ours, theirs in _RENAMED:
            if match := re.fullmatch(ours, path, re.DOTALL):
                path = match.expand(theirs)
                break
        first, _, below = path.partition(".")
        if self.definition and first in _NODE_FIELDS:
            path = f"{_DEFINITION}.{path}"
        elif self.types and first == "vm_types" and below:
            path = f"vm_types.{_TYPES}.{below}"
        return replace(mistake, path=path)


def read(path: Path) -> dict[Any, Any]:
    """What a prototype's file holds.

    Raises:
        SpecErrors: the file can't be read, or is no YAML mapping.
    """
    try:
        content = content_of(text_of(path), _Loader)
    except ValueError as error:
        raise SpecErrors([Mistake("q8s:clusterFile", str(path), str(error))]) from None
    if not isinstance(content, dict):
        raise SpecErrors([Mistake("q8s:clusterFile", str(path), "must be a mapping, !ClusterData")])
    return content


def convert(content: Mapping[Any, Any]) -> tuple[dict[str, Any], list[Mistake], Form]:
    """A prototype's content in our format; values stay as they are where validation knows what is wrong with them.

    Returns:
        The description; what validation can't know: mistakes in fields that the prototype did not have, or that
        have another form in our format; and the file's form, which names fields.
    """
    given, misplaced, form = _flat(content)
    mistakes: list[Mistake] = []
    types = _given(given, "vm_types", {})
    if not isinstance(types, dict):
        mistakes.append(Mistake("vm_types", types, "must be a mapping of names to !VmType"))
        types = {}
    if not isinstance(given.get("git_url", ""), str):
        mistakes.append(Mistake("git_url", given["git_url"], "must be text"))
    elif has_password(given.get("git_url") or ""):
        mistakes.append(Mistake("git_url", None, "has a user or a password in it: it is not used, take it out"))
    ports = _port_range(given, mistakes)
    additional = given.get("number_additional_master_nodes", 0)
    if isinstance(additional, bool) or not isinstance(additional, int) or not 0 <= additional <= _MOST_ADDITIONAL:
        allowed = f"must be a whole number, 0 to {_MOST_ADDITIONAL}"
        mistakes.append(Mistake("number_additional_master_nodes", additional, allowed))
        additional = 0
    prefix = _dropped({"cidr": given.get("remote_ip_prefix")})
    tcp = _given(given, "required_tcp_ports", [])
    result: dict[str, Any] = {
        "network": _dropped({"id": given.get("private_network_id"), **prefix}),
        "hostImage": _dropped({"name": given.get("default_image_name")}),
        "controlPlanes": _dropped(
            {
                "flavor": given.get("master_node_flavor"),
                "count": additional + 1,
                "name": given.get("name_of_initial_instance"),
            }
        ),
        "securityGroups": _groups(given, mistakes),
        "openPorts": {
            "tcp": [*tcp, *ports] if isinstance(tcp, list) else tcp,
            "udp": _given(given, "required_udp_ports", []),
            **prefix,
        },
        "nodeTypes": {name: _node_type(f"vm_types.{name}", body, mistakes) for name, body in types.items()},
        "workers": _given(given, "worker", {}),
    }
    if ports:
        result["nodePorts"] = ports[0]
    return result, [*misplaced, *(form.named(mistake) for mistake in mistakes)], form


def _flat(content: Mapping[Any, Any]) -> tuple[Mapping[Any, Any], list[Mistake], Form]:
    """A file's fields side by side, and those that are where no form has them."""
    definition, types = content.get(_DEFINITION), content.get("vm_types")
    below = types.get(_TYPES) if isinstance(types, dict) else None
    # A type may have that name.
    nested = isinstance(below, dict) and "architecture" not in below
    form = Form(_DEFINITION in content, nested)
    fields = _FIELDS | ({_DEFINITION} if form.definition else _NODE_FIELDS)
    mistakes = _unknown("", content, fields, "cluster.yaml")
    flat = {name: value for name, value in content.items() if name in fields}
    if form.definition:
        del flat[_DEFINITION]
        if not isinstance(definition, dict):
            mistakes.append(Mistake(_DEFINITION, definition, "must be a mapping, !ClusterDefinition"))
            definition = {}
        mistakes += _unknown(f"{_DEFINITION}.", definition, _NODE_FIELDS, "!ClusterDefinition")
        flat.update({name: value for name, value in definition.items() if name in _NODE_FIELDS})
    if isinstance(types, dict) and nested:
        mistakes += _unknown("vm_types.", types, {_TYPES}, "!VmTypes")
        flat["vm_types"] = below
    return flat, mistakes, form


def _unknown(path: str, given: Mapping[Any, Any], fields: Collection[str], place: str) -> list[Mistake]:
    allowed = f"is no field of a prototype's {place}, there are {', '.join(sorted(fields))}"
    return [Mistake(f"{path}{name}", given[name], allowed) for name in given if name not in fields]


def _port_range(given: Mapping[Any, Any], mistakes: list[Mistake]) -> list[str]:
    """The range of workers' ports, or none where it is not given or wrong."""
    ends = ("worker_port_range_min", "worker_port_range_max")
    low, high = (given.get(end) for end in ends)
    if low is None and high is None:
        return []
    wrong = [
        Mistake(end, value, f"must be a port, 1 to {_PORT_MAX}, with the other end of the range")
        for end, value in zip(ends, (low, high), strict=True)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _PORT_MAX
    ]
    if not wrong and low > high:  # type: ignore[operator]
        wrong = [Mistake(ends[0], low, f"must be {ends[1]} ({high}) at most")]
    mistakes += wrong
    return [] if wrong else [f"{low}-{high}"]


def _groups(given: Mapping[Any, Any], mistakes: list[Mistake]) -> list[str]:
    """Names of security groups, without the prototype's own."""
    groups = _given(given, "security_groups", [])
    if not isinstance(groups, list):
        mistakes.append(Mistake("security_groups", groups, "must be a list of names"))
        return []
    wrong = [
        Mistake(f"security_groups.{index}", name, f"must be a name, text of 1 to {_LONGEST_GROUP} characters")
        for index, name in enumerate(groups)
        if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_GROUP
    ]
    mistakes += wrong
    return [] if wrong else [name for name in groups if name != _OWN_GROUP]


def _node_type(path: str, body: Any, mistakes: list[Mistake]) -> Any:
    if not isinstance(body, dict):
        mistakes.append(Mistake(path, body, "must be a !VmType mapping"))
        return body
    mistakes += _unknown(f"{path}.", body, _TYPE_FIELDS, "!VmType")
    sizes = {}
    for name, ours, unit in (("ram", "memory", "MiB"), ("storage", "disk", "GiB")):
        amount = body.get(name)
        if isinstance(amount, bool) or not isinstance(amount, int) or not 0 < amount <= _LARGEST:
            mistakes.append(Mistake(f"{path}.{name}", amount, f"must be a positive whole number ({unit})"))
        else:
            sizes[ours] = f"{amount}{unit}"
    arguments: Any = next((body[name] for name in _ARGUMENTS if body.get(name) not in (None, _PLACEHOLDER)), [])
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


def _given(fields: Mapping[Any, Any], name: str, otherwise: Any) -> Any:
    return otherwise if fields.get(name) is None else fields[name]


def _dropped(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
