"""Control planes: the first one makes the cluster, the others join it. None of them is emulated."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pulumi

from q8s_infra.components.host import Host
from q8s_infra.components.keys import ClusterKeys
from q8s_infra.components.network import ClusterNetwork
from q8s_infra.defaults import CONTROL_PLANE_PORT, DRAIN_SECONDS, JOIN_SECONDS
from q8s_infra.plan import ControlPlane as PlannedControlPlane
from q8s_infra.remote import Step, run, secret
from q8s_infra.render import kubeadm
from q8s_infra.render.endpoint import endpoint_name
from q8s_infra.render.node import authorized_keys, node_files
from q8s_infra.render.sources import apt_files, registry_files
from q8s_infra.spec import ClusterSpec


class ControlPlane(pulumi.ComponentResource):
    """The first control plane, and through it the cluster.

    Attributes:
        host: the host that it runs on.
        kubeconfig: the administrator's, as kubeadm wrote it; a secret.
        ca_cert_hash: what every joining node pins.
        endpoint: address and port of its API server on the cluster's network.
        identity: another one is another cluster, and what belonged to the former has to be made anew.
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
        super().__init__("q8s:index:ControlPlane", planned.name, None, opts)
        name = self.node = planned.name
        self.host = Host(
            name,
            spec=spec,
            flavor=planned.flavor,
            network=network,
            keys=keys,
            keeps_flavor=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        prepared = _prepared(self, name, self.host, spec)
        configuration = pulumi.Output.all(self.host.address, self.host.endpoint).apply(
            lambda known: kubeadm.init_configuration(spec, node=name, address=known[0], names=[name, known[1]])
        )
        initialised = run(
            f"{name}-init",
            self.host.shell,
            Step("init-cluster", name, "Kubernetes", {"address": self.host.address, "endpoint": endpoint_name(spec)}),
            files={
                "kubeadm.yaml": configuration,
                "audit-policy.yaml": kubeadm.audit_policy(),
                "fixed": kubeadm.fixed_fields(spec),
            },
            triggers=[self.host.instance.id],
            prints_secret=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[prepared]),
        )
        printed = secret(initialised.stdout).apply(json.loads)
        self.ca_cert_hash: pulumi.Output[str] = pulumi.Output.unsecret(printed.apply(lambda it: str(it["caCertHash"])))
        self.endpoint: pulumi.Output[str] = self.host.address.apply(lambda address: f"{address}:{CONTROL_PLANE_PORT}")
        self.kubeconfig: pulumi.Output[str] = pulumi.Output.all(printed, self.host.endpoint).apply(
            lambda known: _reached_at(known[0]["kubeconfig"], endpoint_name(spec), known[1])
        )
        self.ready: pulumi.Resource = initialised
        # One host initialises one cluster, and its id is known even while a preview can't know a step's result.
        self.identity: pulumi.Output[str] = self.host.instance.id
        self.register_outputs({"endpoint": self.endpoint})


class JoiningControlPlane(pulumi.ComponentResource):
    """One more control plane, joined with certificates that the first one hands over encrypted."""

    def __init__(
        self,
        planned: PlannedControlPlane,
        *,
        spec: ClusterSpec,
        network: ClusterNetwork,
        keys: ClusterKeys,
        first: ControlPlane,
        previous: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("q8s:index:JoiningControlPlane", planned.name, None, opts)
        name = planned.name
        self.host = Host(
            name,
            spec=spec,
            flavor=planned.flavor,
            network=network,
            keys=keys,
            keeps_flavor=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        prepared = _prepared(self, name, self.host, spec)
        node_is: list[pulumi.Input[object]] = [name, self.host.instance.id, first.identity]
        token, certificate_key = keys.join_token(node_is), keys.certificate_key(node_is)
        configuration = pulumi.Output.all(token, certificate_key, self.host.address, first.ca_cert_hash).apply(
            lambda known: kubeadm.join_configuration(
                spec, node=name, address=known[2], token=known[0], ca_cert_hash=known[3], certificate_key=known[1]
            )
        )
        # One after the other: etcd takes one new member at a time.
        next_in_turn = pulumi.ResourceOptions(parent=self, depends_on=[first.ready, prepared, *previous])
        joining = run(
            f"{name}-join",
            self.host.shell,
            Step(
                "join-control-plane",
                name,
                "Kubernetes",
                {
                    "address": self.host.address,
                    "endpoint": endpoint_name(spec),
                    "first": first.host.address,
                },
            ),
            files={
                "kubeadm.yaml": configuration,
                "audit-policy.yaml": kubeadm.audit_policy(),
            },
            triggers=[self.host.instance.id],
            opts=next_in_turn,
        )
        node = run(
            f"{name}-node",
            first.host.shell,
            Step("await-node", name, "Kubernetes", {"timeout": str(JOIN_SECONDS), "role": "control-plane"}),
            delete=Step("remove-node", name, "Kubernetes", {"grace": str(DRAIN_SECONDS), "first": first.node}),
            files={
                "labels": "",
                "taints": "",
                "token": token.apply(lambda value: f"{value}\n"),
                "certificate-key": certificate_key.apply(lambda value: f"{value}\n"),
            },
            triggers=[joining.id],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.joined: Sequence[pulumi.Resource] = [joining, node]
        self.register_outputs({})


def _prepared(parent: pulumi.Resource, name: str, host: Host, spec: ClusterSpec) -> pulumi.Resource:
    return run(
        f"{name}-host",
        host.shell,
        Step("prepare-control-plane", name, "host", {"kubernetes": spec.kubernetes.version}),
        files={**apt_files(spec), **registry_files(spec), **node_files(spec), **authorized_keys(spec)},
        triggers=[host.instance.id],
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _reached_at(kubeconfig: str, name: str, address: str) -> str:
    """The kubeconfig with the address under which its user reaches the API server, in place of the nodes' name."""
    return kubeconfig.replace(f"https://{name}:{CONTROL_PLANE_PORT}", f"https://{address}:{CONTROL_PLANE_PORT}")
