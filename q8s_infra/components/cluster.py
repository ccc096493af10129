"""The whole cluster: what `pulumi up` makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from q8s_infra import certificates, kept, openstack_project
from q8s_infra.components.artifacts import Artifacts
from q8s_infra.components.control_plane import ControlPlane, JoiningControlPlane
from q8s_infra.components.flannel import Flannel
from q8s_infra.components.keys import ClusterKeys
from q8s_infra.components.network import ClusterNetwork
from q8s_infra.components.order import Before
from q8s_infra.components.worker import Worker, leaving
from q8s_infra.openstack_project import OpenStackProject
from q8s_infra.plan import ClusterPlan
from q8s_infra.remote import run
from q8s_infra.rollout import Rollout
from q8s_infra.state.model import CLUSTER

_ALL_AT_ONCE: Final = Rollout()
_UNKNOWN: Final = OpenStackProject()


class Cluster(pulumi.ComponentResource):
    """A Kubernetes cluster whose workers are emulated.

    Attributes:
        kubeconfig: the administrator's; a secret.
        endpoint: address and port of the API server.
        nodes: a row a node: name, role, type, architecture, CPU model, CPUs, memory, address.
    """

    def __init__(
        self,
        plan: ClusterPlan,
        rollout: Rollout = _ALL_AT_ONCE,
        project: OpenStackProject = _UNKNOWN,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the cluster.

        Args:
            plan: its nodes.
            rollout: how what is there comes to it: what waits for what.
            project: the OpenStack project that it is in, recorded with the stack.
            opts: the component's options.
        """
        super().__init__(CLUSTER, plan.name, None, opts)
        spec, inside = plan.spec, pulumi.ResourceOptions(parent=self)
        keys = ClusterKeys(plan.name, opts=inside)
        network = ClusterNetwork(plan.name, spec, keys, first=plan.control_planes[0].name, opts=inside)

        others = [
            JoiningControlPlane(planned, spec=spec, network=network, keys=keys, opts=inside)
            for planned in plan.control_planes[1:]
        ]
        first = ControlPlane(
            plan.control_planes[0],
            spec=spec,
            network=network,
            keys=keys,
            other=others[0] if others else None,
            opts=inside,
        )
        provider = k8s.Provider(
            f"{plan.name}-kubernetes",
            kubeconfig=first.kubeconfig,
            # Without it a kubeconfig that is not known yet makes a preview replace all that the provider made.
            cluster_identifier=first.identity,
            opts=inside,
        )
        flannel = Flannel(
            plan.name,
            spec=spec,
            provider=provider,
            deleted_with=first.host.instance,
            after=first.ready,
            opts=inside,
        )

        previous: Sequence[pulumi.Resource] = [first.ready]
        for other in others:
            previous = other.join(first, previous)
        artifacts = {
            architecture.name: Artifacts(
                architecture,
                spec=spec,
                keys=keys,
                node=first.node,
                host=first.host,
                prepared=first.prepared,
                opts=inside,
            )
            for architecture in plan.architectures
        }
        turns = rollout.turns
        workers: dict[str, Worker] = {}
        # Whoever waits comes after those who don't, and after the one that it waits for.
        for planned in sorted(plan.workers, key=lambda worker: worker.name in turns):
            turn = turns.get(planned.name)
            workers[planned.name] = Worker(
                planned,
                spec=spec,
                network=network,
                keys=keys,
                control_plane=first,
                artifacts=artifacts[planned.architecture.name],
                api_servers=[first.host.address, *(other.host.address for other in others)],
                cluster_network=flannel.daemon,
                turn=turn,
                before=[Before(workers[name].node) for name in turn.after] if turn else (),
                control_planes=previous if rollout.upgrading else (),
                opts=inside,
            )

        for name in rollout.half_made:
            # In this one run: what is deleted, its guest among it, goes after all else.
            run(
                f"{name}-leaves",
                first.host.shell,
                leaving(name, first.node),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[first.ready]),
            )

        self.kubeconfig = first.kubeconfig
        self.endpoint = first.endpoint
        control_planes = [
            {"name": planned.name, "role": "control plane", "address": host.address}
            for planned, host in zip(plan.control_planes, [first.host, *(other.host for other in others)], strict=True)
        ]
        emulated = [
            {
                "name": planned.name,
                "role": "worker",
                "type": planned.type_name,
                "architecture": planned.architecture.name,
                "cpuModel": planned.node_type.cpu_model,
                "cpus": planned.node_type.cpus,
                "memory": str(planned.node_type.memory),
                "address": workers[planned.name].host.address,
            }
            for planned in plan.workers
        ]
        self.nodes: pulumi.Output[list[dict[str, object]]] = pulumi.Output.all(*control_planes, *emulated)
        self.register_outputs(
            {
                "endpoint": self.endpoint,
                "nodes": self.nodes,
                "kubeconfig": self.kubeconfig,
                kept.OUTPUT: kept.recorded_fields(spec),
                openstack_project.OUTPUT: project.output(),
                certificates.OUTPUT: pulumi.Output.unsecret(self.kubeconfig.apply(certificates.expires)),
                certificates.SINCE: pulumi.Output.unsecret(self.kubeconfig.apply(certificates.since)),
            }
        )
