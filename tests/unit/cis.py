"""The CIS benchmark's checks of a kubeadm cluster, in words of our own, and how each is decided.

Numbers are those of version 1.11; 1.9 and 1.10 differ in a few. What decides is what the program renders on top of what
kubeadm 1.34 sets by itself: the flags of its static pods (``app/phases/controlplane/manifests.go`` and
``app/phases/etcd/local.go``), its defaults of kubelet's configuration (``app/componentconfigs/kubelet.go``), and the
modes of files that it and the Debian packages write. Section 5 is about workloads, and for those who run them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import yaml

from q8s_infra.render.templates import REPOSITORY
from tests.unit.hostscript import program
from tests.unit.rendered import documents
from tests.unit.test_audit_policy import RECORDED, level

PKI = "/etc/kubernetes/pki"
FLAGS: Mapping[str, Mapping[str, str]] = {
    "apiServer": {
        "authorization-mode": "Node,RBAC",
        "client-ca-file": f"{PKI}/ca.crt",
        "enable-admission-plugins": "NodeRestriction",
        "etcd-cafile": f"{PKI}/etcd/ca.crt",
        "etcd-certfile": f"{PKI}/apiserver-etcd-client.crt",
        "etcd-keyfile": f"{PKI}/apiserver-etcd-client.key",
        "kubelet-client-certificate": f"{PKI}/apiserver-kubelet-client.crt",
        "kubelet-client-key": f"{PKI}/apiserver-kubelet-client.key",
        "service-account-key-file": f"{PKI}/sa.pub",
        "tls-cert-file": f"{PKI}/apiserver.crt",
        "tls-private-key-file": f"{PKI}/apiserver.key",
    },
    "controllerManager": {
        "bind-address": "127.0.0.1",
        "root-ca-file": f"{PKI}/ca.crt",
        "service-account-private-key-file": f"{PKI}/sa.key",
        "use-service-account-credentials": "true",
    },
    "scheduler": {"bind-address": "127.0.0.1"},
    "etcd": {
        "cert-file": f"{PKI}/etcd/server.crt",
        "client-cert-auth": "true",
        "key-file": f"{PKI}/etcd/server.key",
        "peer-cert-file": f"{PKI}/etcd/peer.crt",
        "peer-client-cert-auth": "true",
        "peer-key-file": f"{PKI}/etcd/peer.key",
        "peer-trusted-ca-file": f"{PKI}/etcd/ca.crt",
        "trusted-ca-file": f"{PKI}/etcd/ca.crt",
    },
}
"""kubeadm's own."""
KUBELET: Mapping[str, Any] = {
    "authentication": {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": f"{PKI}/ca.crt"},
    },
    "authorization": {"mode": "Webhook"},
    "rotateCertificates": True,
}
"""kubeadm's own."""
FILES: Mapping[str, tuple[int, str]] = {
    **{f"manifests/{name}": (0o600, "root:root") for name in ("api", "controller-manager", "scheduler", "etcd")},
    **{f"{name}.conf": (0o600, "root:root") for name in ("admin", "super-admin", "controller-manager", "scheduler")},
    "etcd data": (0o700, "root:root"),
    "pki certificates": (0o644, "root:root"),
    "pki keys": (0o600, "root:root"),
    # Copied by Flannel's init container.
    "cni": (0o644, "root:root"),
    # kubelet writes it by itself.
    "kubelet.conf": (0o600, "root:root"),
}
"""Modes and owners of files that are not ours; all run and write as root."""


@dataclass(frozen=True)
class Cluster:
    """What decides of a cluster: flags by component, kubelet's and kube-proxy's configuration, files, its audit."""

    flags: Mapping[str, Mapping[str, str]]
    kubelet: Mapping[str, Any]
    proxy: Mapping[str, Any]
    arguments: Mapping[str, str]
    files: Mapping[str, tuple[int, str]]
    audit: Mapping[str, Any]


def merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with another one's values over it."""
    both = {key: merged(base[key], given[key]) for key in base.keys() & given.keys() if isinstance(base[key], dict)}
    return {**base, **given, **both}


def cluster(shape: str) -> Cluster:
    """A shipped stack's, as it comes up."""
    rendered = documents(shape)
    found = {document["kind"]: document for document in yaml.safe_load_all(rendered["init.yaml"])}
    flags = {}
    for component, own in FLAGS.items():
        given = found["ClusterConfiguration"].get(component, {})
        flags[component] = {**own, **{each["name"]: each["value"] for each in given.get("extraArgs", [])}}
    kubelet = merged(KUBELET, found["KubeletConfiguration"])
    guest = next(name.rpartition("/")[0] for name in rendered if name.endswith("/join.json"))
    join = yaml.safe_load(rendered[f"{guest}/join.json"])
    seed = yaml.safe_load(rendered[f"{guest}/seed/user-data"])["write_files"]
    (service,) = (each for each in seed if each["path"].endswith("/kubelet.service"))
    files = {
        **FILES,
        **{f"/{path}": (mode, "root:root") for path, (_, mode) in worker_files(join, kubelet).items()},
        "kubelet service": (int(service["permissions"], 8), "root:root"),
    }
    audit = yaml.safe_load(rendered["audit-policy.yaml"])
    return Cluster(flags, kubelet, found["KubeProxyConfiguration"], join["arguments"], files, audit)


def worker_files(join: Mapping[str, Any], kubelet: Mapping[str, Any]) -> Mapping[str, tuple[str, int]]:
    """What a worker's host writes into its guest, by the program that does, with an API server that answers."""
    host: Any = program(REPOSITORY / "hostscripts/q8s_join_guest.py")
    context = SimpleNamespace(load_verify_locations=lambda **_: None)
    host.ssl = SimpleNamespace(SSLContext=lambda _: context, PROTOCOL_TLS_CLIENT=None)
    host.trusted_ca = lambda _: "a certificate"
    host.get = lambda *_, **__: {"data": {"kubelet": yaml.safe_dump(dict(kubelet))}}
    found: Mapping[str, tuple[str, int]] = host.node_files(join)
    return found


Decision = Callable[[Cluster], bool]


def is_set(component: str, *names: str) -> Decision:
    """All of a component's flags are."""
    return lambda it: all(it.flags[component].get(name) for name in names)


def unset(component: str, name: str) -> Decision:
    """A component's flag is not, so its default holds."""
    return lambda it: name not in it.flags[component]


def flag(component: str, name: str, value: str) -> Decision:
    """A component's flag has this value."""
    return lambda it: it.flags[component].get(name) == value


def at_least(component: str, name: str, value: int) -> Decision:
    """A component's flag has this value, or a higher one."""
    return lambda it: int(it.flags[component].get(name, "0")) >= value


def has(component: str, name: str, value: str) -> Decision:
    """A component's flag lists this value."""
    return lambda it: value in it.flags[component].get(name, "").split(",")


def lacks(component: str, name: str, value: str) -> Decision:
    """A component's flag does not list this value."""
    return lambda it: not has(component, name, value)(it)


def mode(limit: int, *names: str) -> Decision:
    """Files give nobody more than this."""
    return lambda it: all(not it.files[name][0] & ~limit for name in names)


def owner(wanted: str, *names: str) -> Decision:
    """Files belong to these."""
    return lambda it: all(it.files[name][1] == wanted for name in names)


def kubelet(path: str, accept: Callable[[Any], bool]) -> Decision:
    """A field of kubelet's configuration, None if it is not given, is as wanted."""

    def decide(it: Cluster) -> bool:
        value: Any = it.kubelet
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return accept(value)

    return decide


def strong(suites: Any) -> bool:
    """Cipher suites are chosen, and all of them have forward secrecy and authenticated encryption."""
    return bool(suites) and all("_ECDHE_" in each and "_GCM_" in each for each in suites)


def audited(it: Cluster) -> bool:
    """The policy records what is sensitive (test_audit_policy.py)."""
    return all(level(request, it.audit) == "Metadata" for request in RECORDED)


def by_design(_: Cluster) -> bool:
    """Nothing that the program gives to users does otherwise."""
    return True


def never(_: Cluster) -> bool:
    """It is not done, whatever is configured."""
    return False
