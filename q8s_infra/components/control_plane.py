"""Control planes: the first one makes the cluster, the others join it. None of them is emulated."""

from __future__ import annotations

import json

import pulumi

from q8s_infra.components.host import Host
from q8s_infra.components.keys import ClusterKeys
from q8s_infra.components.network import ClusterNetwork
from q8s_infra.defaults import CONTROL_PLANE_PORT, DRAIN_SECONDS, TOKEN_LIFETIME
from q8s_infra.plan import ControlPlane as PlannedControlPlane
from q8s_infra.remote import Step, run, secret
from q8s_infra.render import kubeadm
from q8s_infra.render.node import authorized_keys, node_files
from q8s_infra.render.sources import apt_files, registry_files
from q8s_infra.spec import ClusterSpec


class ControlPlane(pulumi.ComponentResource):
    """The first control plane, and through it the cluster.

    Attributes:
        host: the host that it runs on.
        kubeconfig: the administrator's, as kubeadm wrote it; a secret.
        ca_cert_hash: what every joining node pins.
        endpoint: address and port of the API server on the cluster's network.
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
            Step("init-cluster", name, "Kubernetes"),
            files={"kubeadm.yaml": configuration, "audit-policy.yaml": kubeadm.audit_policy()},
            triggers=[self.host.instance.id],
            prints_secret=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[prepared]),
        )
        printed = secret(initialised.stdout).apply(json.loads)
        self.ca_cert_hash: pulumi.Output[str] = pulumi.Output.unsecret(printed.apply(lambda it: str(it["caCertHash"])))
        self.endpoint: pulumi.Output[str] = self.host.address.apply(lambda address: f"{address}:{CONTROL_PLANE_PORT}")
        self.kubeconfig: pulumi.Output[str] = pulumi.Output.all(printed, self.host.address, self.host.endpoint).apply(
            lambda known: _reached_at(known[0]["kubeconfig"], known[1], known[2])
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
        previous: pulumi.Resource,
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
        secrets = run(
            f"{name}-token",
            first.host.shell,
            Step("mint-control-plane-join", name, "Kubernetes", {"ttl": TOKEN_LIFETIME}),
            delete=Step("revoke-token", name, "Kubernetes"),
            triggers=[self.host.instance.id],
            prints_secret=True,
            opts=pulumi.ResourceOptions(
                parent=self,
                # One after the other: etcd takes one new member at a time.
                depends_on=[first.ready, prepared, previous],
                # A node that has joined needs no other token because a script has changed.
                ignore_changes=["create", "stdin"],
            ),
        )
        configuration = pulumi.Output.all(
            secret(secrets.stdout), self.host.address, first.endpoint, first.ca_cert_hash
        ).apply(lambda known: _join(spec, name, json.loads(known[0]), *known[1:]))
        self.joined = run(
            f"{name}-join",
            self.host.shell,
            Step("join-control-plane", name, "Kubernetes", {"address": self.host.address}),
            files={"kubeadm.yaml": configuration, "audit-policy.yaml": kubeadm.audit_policy()},
            triggers=[self.host.instance.id],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.node = run(
            f"{name}-node",
            first.host.shell,
            Step("await-node", name, "Kubernetes", {"timeout": "600", "ready": "no"}),
            delete=Step("remove-node", name, "Kubernetes", {"grace": str(DRAIN_SECONDS), "first": first.node}),
            files={"labels": "", "taints": ""},
            triggers=[self.joined.id],
            opts=pulumi.ResourceOptions(parent=self),
        )
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


def _join(spec: ClusterSpec, name: str, secrets: dict[str, str], address: str, endpoint: str, ca_cert_hash: str) -> str:
    return kubeadm.join_configuration(
        spec,
        node=name,
        address=address,
        endpoint=endpoint,
        token=secrets["token"],
        ca_cert_hash=ca_cert_hash,
        certificate_key=secrets["certificateKey"],
    )


def _reached_at(kubeconfig: str, address: str, endpoint: str) -> str:
    """The kubeconfig with the address under which its user reaches the API server."""
    return kubeconfig.replace(f"https://{address}:{CONTROL_PLANE_PORT}", f"https://{endpoint}:{CONTROL_PLANE_PORT}")
