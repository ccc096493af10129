"""Everything that the program renders for a shipped stack, with fixed keys and addresses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypedDict

from q8s_infra.arch import ARCHITECTURES
from q8s_infra.hostkeys import HostKey, derive
from q8s_infra.kept import kept_document
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.render import kubeadm
from q8s_infra.render.admission import admission_configuration
from q8s_infra.render.audit import audit_policy
from q8s_infra.render.domain import domain_xml, network_xml
from q8s_infra.render.endpoint import balancer
from q8s_infra.render.identity import guest_join, identity_files
from q8s_infra.render.node import node_files
from q8s_infra.render.rules import rules
from q8s_infra.render.seed import seed
from q8s_infra.render.sources import apt_files, guest_apt_files, registry_files
from q8s_infra.render.templates import REPOSITORY, render
from q8s_infra.spec import ClusterSpec, load, read
from q8s_infra.spec.load import merged

SHAPES = ("dev", "prototype", "mixed")
ADDRESS, TOKEN, HASH = "10.254.1.7", "abcdef.0123456789abcdef", f"sha256:{'a' * 64}"
LOGIN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1dCBub3QgYSByZWFsIG9uZSBhdCBhbGw="


def shipped(shape: str) -> dict[str, Any]:
    """A shipped stack's description, with checksums of the guest images, as a user may give them."""
    images = {name: {"url": each.image_url, "sha256": "e" * 64} for name, each in ARCHITECTURES.items()}
    return merged(read(REPOSITORY / f"Pulumi.{shape}.yaml")["cluster"], {"guestImages": images})


def planned(shape: str) -> ClusterPlan:
    """The plan of a shipped stack."""
    return plan(load({"cluster": shipped(shape)}, shape, base=REPOSITORY))


class OwnKeys(TypedDict):
    """What no other guest has."""

    host_key: HostKey
    machine_id: str


def own_keys(name: str) -> OwnKeys:
    """A guest's, the same on every run."""
    return {"host_key": derive("ab" * 32, f"guest/{name}"), "machine_id": "c" * 32}


def identity(spec: ClusterSpec, name: str) -> Mapping[str, tuple[str, int]]:
    """What makes a guest a node's own."""
    return identity_files(spec, name=name, node_address=ADDRESS, **own_keys(name))


def documents(shape: str) -> dict[str, str]:
    """All documents of a shape by their place: the cluster's, each control plane's, one worker's of each type."""
    cluster = planned(shape)
    spec = cluster.spec
    first = cluster.control_planes[0].name
    host_key = derive("ab" * 32, f"host/{first}")
    found = {
        "plan.txt": "".join(f"{node.name} on {node.flavor}\n" for node in cluster.nodes),
        "rules.json": json.dumps([asdict(rule) for rule in rules(spec)], indent=2) + "\n",
        "network.xml": network_xml(spec.guest_link),
        "haproxy.cfg": balancer([ADDRESS, "10.254.1.8"], spec.guest_link),
        "admission.yaml": admission_configuration(),
        "audit-policy.yaml": audit_policy(),
        "host.yaml": render("host.yaml.j2", host_key=host_key),
        "fixed": kept_document(spec),
        "init.yaml": kubeadm.init_configuration(spec, node=first, address=ADDRESS, names=[first, ADDRESS]),
        "renewal.yaml": kubeadm.renewal_configuration(spec),
    }
    found |= {**node_files(spec), **registry_files(spec), **apt_files(spec, kubernetes=True)}
    for worker in {worker.type_name: worker for worker in reversed(cluster.workers)}.values():
        written = seed(spec, authorized_keys=[LOGIN])
        join = guest_join(
            spec,
            node=worker.name,
            address=ADDRESS,
            token=TOKEN,
            ca_cert_hash=HASH,
            login_keys=f"{LOGIN}\n",
            **own_keys(worker.name),
        )
        apt = guest_apt_files(spec, worker.architecture.name)
        own = {"domain.xml": domain_xml(worker), "join.json": join + "\n", **written, **apt}
        found |= {f"{worker.type_name}/{path}": text for path, text in own.items()}
    return found
