"""Control planes: the first one makes the cluster, the others join it. None of them is emulated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

import pulumi
import yaml

from q8s_infra.components.host import Host
from q8s_infra.components.keys import ClusterKeys
from q8s_infra.components.network import ClusterNetwork
from q8s_infra.defaults import CONTROL_PLANE_PORT, DRAIN_SECONDS, JOIN_SECONDS
from q8s_infra.kept import kept_document
from q8s_infra.plan import ControlPlane as PlannedControlPlane
from q8s_infra.remote import HOSTSCRIPTS, Step, run, secret
from q8s_infra.render import kubeadm
from q8s_infra.render.admission import admission_configuration
from q8s_infra.render.audit import audit_policy
from q8s_infra.render.authorities import authority_files
from q8s_infra.render.endpoint import endpoint_name
from q8s_infra.render.node import authorized_keys, node_files
from q8s_infra.render.proxy import containerd_files, proxy_files
from q8s_infra.render.sources import apt_files, registry_files
from q8s_infra.spec import ClusterSpec

_HOST_UNITS: Final = ("q8s-metadata.sh", "q8s-metadata.service", "q8s-renew.service", "q8s-renew.timer")


class ControlPlane(pulumi.ComponentResource):
    """The first control plane, and through it the cluster.

    Where others are, it makes no cluster before it has asked one of them: a first one whose host was lost comes back.

    Attributes:
        host: the host that it runs on.
        kubeconfig: the administrator's, as kubeadm wrote it but for the way to the API server; a secret.
        endpoint: address and port of its API server on the cluster's network.
        prepared: its host is.
        ready: it runs the version that the spec asks for.
        identity: hash of the CA's key, which every joining node pins. Another one is another cluster, and what belonged
            to the former has to be made anew.
    """

    def __init__(
        self,
        planned: PlannedControlPlane,
        *,
        spec: ClusterSpec,
        network: ClusterNetwork,
        keys: ClusterKeys,
        other: JoiningControlPlane | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("q8s:index:ControlPlane", planned.name, None, opts)
        name = self.node = planned.name
        self.host = _host(self, planned, spec, network, keys)
        self.prepared = prepared = _prepared(self, name, self.host, spec, kubeadm.certificate_files(spec))
        before: list[pulumi.Resource] = [prepared]
        if other is not None:
            found = run(
                f"{name}-found",
                other.host.shell,
                Step("find-cluster", name, "Kubernetes"),
                triggers=[self.host.instance.id],
                opts=pulumi.ResourceOptions(parent=self),
            )
            before += _joined(
                self, planned, self.host, spec, keys,
                through=other.node, at=other.host, ca_cert_hash=found.stdout.apply(str.strip), perhaps=True,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[prepared]),
            )  # fmt: skip
        configuration = pulumi.Output.all(self.host.address, self.host.endpoint).apply(
            lambda known: kubeadm.init_configuration(spec, node=name, address=known[0], names=[name, known[1]])
        )
        initialised = run(
            f"{name}-init",
            self.host.shell,
            Step("init-cluster", name, "Kubernetes", {"address": self.host.address, "endpoint": endpoint_name(spec)}),
            files={
                "kubeadm.yaml": configuration,
                "audit-policy.yaml": audit_policy(),
                "admission.yaml": admission_configuration(),
                "fixed": kept_document(spec),
            },
            triggers=[self.host.instance.id],
            prints_secret=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=before),
        )
        # The instance is no trigger: a host that is made anew must not take this, and with it all workers, away before
        # it is known whether the cluster lives on (docs/decisions/0012).
        identified = run(
            f"{name}-identity",
            self.host.shell,
            Step("identify-cluster", name, "Kubernetes", {"instance": self.host.instance.id}),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[initialised]),
        )
        self.identity: pulumi.Output[str] = identified.stdout.apply(str.strip)
        self.endpoint: pulumi.Output[str] = self.host.address.apply(lambda address: f"{address}:{CONTROL_PLANE_PORT}")
        printed = secret(initialised.stdout).apply(json.loads)
        self.kubeconfig: pulumi.Output[str] = pulumi.Output.all(printed, self.host.endpoint).apply(
            lambda known: _reached_at(known[0]["kubeconfig"], spec, known[1])
        )
        self.ready: pulumi.Resource = _upgraded(
            name, self.host, spec, pulumi.ResourceOptions(parent=self, depends_on=[identified])
        )
        self.register_outputs({"endpoint": self.endpoint})


class JoiningControlPlane(pulumi.ComponentResource):
    """One more control plane, joined with certificates that the first one hands over encrypted.

    Attributes:
        host: the host that it runs on.
        node: its node's name.
    """

    def __init__(
        self,
        planned: PlannedControlPlane,
        *,
        spec: ClusterSpec,
        network: ClusterNetwork,
        keys: ClusterKeys,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("q8s:index:JoiningControlPlane", planned.name, None, opts)
        self._planned, self._spec, self._keys = planned, spec, keys
        self.node = planned.name
        self.host = _host(self, planned, spec, network, keys)
        self._prepared = _prepared(self, planned.name, self.host, spec, {})

    def join(self, first: ControlPlane, previous: Sequence[pulumi.Resource]) -> Sequence[pulumi.Resource]:
        """Join the cluster that the first one is in.

        Args:
            first: a control plane of the cluster.
            previous: what the one before this joined and is upgraded by: etcd takes one new member at a time.
        """
        joined = _joined(
            self, self._planned, self.host, self._spec, self._keys,
            through=first.node, at=first.host, ca_cert_hash=first.identity, perhaps=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[first.ready, self._prepared, *previous]),
        )  # fmt: skip
        options = pulumi.ResourceOptions(parent=self, depends_on=[*previous, *joined])
        self.register_outputs({})
        return [*joined, _upgraded(self._planned.name, self.host, self._spec, options)]


def _upgraded(name: str, host: Host, spec: ClusterSpec, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """The control plane runs the version that the spec asks for; the first of them takes the cluster with it."""
    return run(
        f"{name}-upgrade",
        host.shell,
        Step("upgrade-control-plane", name, "Kubernetes", {"kubernetes": spec.kubernetes.version}),
        files={"kubeadm.yaml": kubeadm.upgrade_configuration(spec)},
        triggers=[host.instance.id],
        opts=opts,
    )


def _joined(
    parent: pulumi.Resource,
    planned: PlannedControlPlane,
    host: Host,
    spec: ClusterSpec,
    keys: ClusterKeys,
    *,
    through: str,
    at: Host,
    ca_cert_hash: pulumi.Output[str],
    perhaps: bool,
    opts: pulumi.ResourceOptions,
) -> Sequence[pulumi.Resource]:
    """A control plane joins through another one, which awaits its node.

    Args:
        parent: the control plane's component.
        planned: the control plane.
        host: its host.
        spec: the cluster.
        keys: the cluster's keys.
        through: the node of the other one.
        at: the host of the other one.
        ca_cert_hash: the CA that is pinned; empty where there is no cluster to join, and ``perhaps`` is set.
        perhaps: there may be no cluster to join, and the node is never taken out of one.
        opts: the joining's options.
    """
    name = planned.name
    node_is: list[pulumi.Input[object]] = [name, host.instance.id, ca_cert_hash]
    token, certificate_key = keys.join_token(node_is), keys.certificate_key(node_is)

    def configuration(known: Sequence[str]) -> str:
        token, certificate_key, address, ca_cert_hash = known
        if not ca_cert_hash:
            return ""
        return kubeadm.join_configuration(
            spec, node=name, address=address, token=token, ca_cert_hash=ca_cert_hash, certificate_key=certificate_key
        )

    joining = run(
        f"{name}-join",
        host.shell,
        Step(
            "join-control-plane",
            name,
            "Kubernetes",
            {"address": host.address, "endpoint": endpoint_name(spec), "first": at.address},
        ),
        files={
            "kubeadm.yaml": pulumi.Output.all(token, certificate_key, host.address, ca_cert_hash).apply(configuration),
            "audit-policy.yaml": audit_policy(),
            "admission.yaml": admission_configuration(),
        },
        triggers=[host.instance.id],
        opts=opts,
    )
    node = run(
        f"{name}-node",
        at.shell,
        Step(
            "await-node",
            name,
            "Kubernetes",
            {
                "timeout": str(JOIN_SECONDS),
                "role": "control-plane",
                "instance": host.instance.id,
                "first": through,
                **({"cluster": ca_cert_hash} if perhaps else {}),
            },
        ),
        delete=None
        if perhaps
        else Step("remove-node", name, "Kubernetes", {"grace": str(DRAIN_SECONDS), "first": through}),
        files={
            "labels": "",
            "taints": "",
            "token": token.apply(lambda value: f"{value}\n"),
            "certificate-key": certificate_key.apply(lambda value: f"{value}\n"),
        },
        triggers=[joining.id],
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return [joining, node]


def _host(
    parent: pulumi.Resource, planned: PlannedControlPlane, spec: ClusterSpec, network: ClusterNetwork, keys: ClusterKeys
) -> Host:
    return Host(
        planned,
        spec=spec,
        network=network,
        keys=keys,
        server_group=network.server_group,
        keeps_flavor=True,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _prepared(
    parent: pulumi.Resource, name: str, host: Host, spec: ClusterSpec, files: Mapping[str, str]
) -> pulumi.Resource:
    return run(
        f"{name}-host",
        host.shell,
        Step("prepare-control-plane", name, "host", {"kubernetes": spec.kubernetes.version}),
        files={
            **apt_files(spec, kubernetes=True),
            **authority_files(spec),
            **registry_files(spec),
            **proxy_files(spec),
            **containerd_files(spec),
            **node_files(spec),
            **authorized_keys(spec),
            **{name: (HOSTSCRIPTS / name).read_text(encoding="utf-8") for name in _HOST_UNITS},
            **files,
        },
        triggers=[host.instance.id],
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _reached_at(kubeconfig: str, spec: ClusterSpec, address: str) -> str:
    """The kubeconfig with the way that its user takes to the API server.

    That is an address in place of the nodes' name and, where a bastion is in between, the proxy through it.
    """
    port = CONTROL_PLANE_PORT
    addressed = kubeconfig.replace(f"https://{endpoint_name(spec)}:{port}", f"https://{address}:{port}")
    if spec.access.bastion is None:
        return addressed
    document = yaml.safe_load(addressed)
    for named in document["clusters"]:
        named["cluster"]["proxy-url"] = spec.access.bastion.proxy_url
    return yaml.safe_dump(document, sort_keys=False)
