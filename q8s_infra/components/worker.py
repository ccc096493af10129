"""A worker: a host, the emulated guest on it, and the node that the guest becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pulumi

from q8s_infra.components.artifacts import Artifacts
from q8s_infra.components.control_plane import ControlPlane
from q8s_infra.components.host import Host
from q8s_infra.components.keys import ClusterKeys
from q8s_infra.components.network import ClusterNetwork
from q8s_infra.defaults import BOOT_SECONDS, DRAIN_SECONDS, PAYLOAD_PORT
from q8s_infra.plan import Worker as PlannedWorker
from q8s_infra.remote import HOSTSCRIPTS, Step, run
from q8s_infra.render.authorities import authority_files
from q8s_infra.render.domain import domain_xml, network_xml
from q8s_infra.render.endpoint import balancer
from q8s_infra.render.identity import guest_join
from q8s_infra.render.node import authorized_keys, guest_keys
from q8s_infra.render.payload import payload_socket
from q8s_infra.render.proxy import proxy_files
from q8s_infra.render.seed import SEED_FILES, seed
from q8s_infra.render.sources import apt_files
from q8s_infra.rollout import Turn, What, guest_parts
from q8s_infra.spec import ClusterSpec

_HOST_SERVICES: Final = (
    *("q8s-forward.sh", "q8s-forward.service"),
    *("q8s-guest-watch.sh", "q8s-guest-watch.service"),
    *("q8s_join_guest.py", "q8s-join-guest.service"),
    "q8s-payload@.service",
)


class Worker(pulumi.ComponentResource):
    """Three steps beside the instance: the host prepares itself, the guest starts, the node is Ready.

    Another memory, CPU or disk makes guest and node anew and leaves the host alone; another flavor makes all anew.
    """

    def __init__(
        self,
        planned: PlannedWorker,
        *,
        spec: ClusterSpec,
        network: ClusterNetwork,
        keys: ClusterKeys,
        control_plane: ControlPlane,
        artifacts: Artifacts,
        api_servers: Sequence[pulumi.Output[str]],
        cluster_network: pulumi.Resource,
        turn: Turn | None = None,
        before: Sequence[pulumi.Resource] = (),
        control_planes: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the worker.

        Args:
            planned: the worker.
            spec: the cluster.
            network: the cluster's network.
            keys: the cluster's keys.
            control_plane: the one that knows when the node is Ready.
            artifacts: what its guest is made from.
            api_servers: addresses of all API servers.
            cluster_network: what makes nodes Ready.
            turn: when it is made anew or upgraded, where it has to wait.
            before: the nodes that it waits for then.
            control_planes: those that get another version of Kubernetes first.
            opts: the component's options.
        """
        super().__init__("q8s:index:Worker", planned.name, None, opts)
        name = planned.name
        waits = {what: before if turn and turn.what is what else () for what in What}
        self.host = Host(
            planned,
            spec=spec,
            network=network,
            keys=keys,
            # An instance that is made anew takes its node away before, by an API server that has to answer.
            after=[*control_planes, *waits[What.HOST]],
            opts=pulumi.ResourceOptions(parent=self),
        )
        prepared = run(
            f"{name}-host",
            self.host.shell,
            Step(
                "prepare-worker",
                name,
                "host",
                {"address": self.host.address, "guest_address": spec.guest_link.guest},
            ),
            files={
                **_host_files(spec, planned),
                "haproxy.cfg": pulumi.Output.all(*api_servers).apply(lambda known: balancer(known, spec.guest_link)),
            },
            triggers=[self.host.instance.id],
            opts=pulumi.ResourceOptions(parent=self),
        )
        # What makes another guest; the order of its parts is what a preview shows.
        guest_is: list[pulumi.Input[object]] = [
            self.host.instance.id,
            control_plane.identity,
            *guest_parts(spec, planned),
        ]
        token = keys.join_token([name, *guest_is])
        login_keys = keys.public_key.apply(lambda key: guest_keys(spec, key))
        documents = login_keys.apply(lambda lines: seed(spec, authorized_keys=lines))
        keys_document = login_keys.apply(lambda lines: "".join(f"{line}\n" for line in lines))
        join = pulumi.Output.all(
            self.host.address,
            token,
            control_plane.identity,
            keys.host_key(f"guest/{name}"),
            keys.machine_id([name, *guest_is]),
            keys_document,
        ).apply(
            lambda known: guest_join(
                spec,
                node=name,
                address=known[0],
                token=known[1],
                ca_cert_hash=known[2],
                host_key=known[3],
                machine_id=known[4],
                login_keys=known[5],
            )
        )
        arguments: dict[str, pulumi.Input[str]] = {
            **artifacts.arguments,
            **guest_arguments(planned),
            # One that does not boot is an error all the same, and not twice as late.
            "patience": str(min(BOOT_SECONDS, spec.guest_timeout_minutes * 60 // 2)),
        }
        # No deletion: after a host's replacement has failed, the engine would run it on a host that does not exist.
        # The step removes the guest that it replaces, when it is created and not when it is updated.
        self.guest = run(
            f"{name}-guest",
            self.host.shell,
            Step("define-guest", name, "libvirt", arguments),
            update=Step("define-guest", name, "libvirt", {**arguments, "update": "yes"}),
            files={
                "domain.xml": domain_xml(planned),
                "join.json": join,
                "states.pem": keys.states_public_key,
                "states.key": keys.states_credential(planned.type_name, [name, *guest_is]),
                **{path: _document(documents, path) for path in SEED_FILES},
            },
            triggers=guest_is,
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[prepared, *control_planes, *waits[What.HOST], *waits[What.GUEST]]
            ),
        )
        self.node = run(
            f"{name}-node",
            control_plane.host.shell,
            Step(
                "await-node",
                name,
                "guest",
                {
                    "timeout": str(spec.guest_timeout_minutes * 60),
                    "role": "worker",
                    "kubernetes": spec.kubernetes.version,
                    "grace": str(DRAIN_SECONDS),
                    "payload": f"{spec.guest_link.host}/{PAYLOAD_PORT}",
                    # Releases that recorded a node's labels and taints in its annotations did not say so.
                    "record": "configmap",
                },
                # The script ends by itself, with an error that says more.
                limit=2 * spec.guest_timeout_minutes * 60,
            ),
            delete=leaving(name, control_plane.node),
            files={
                "token": token.apply(lambda value: f"{value}\n"),
                "labels": "".join(f"{key}={value}\n" for key, value in sorted(planned.labels.items())),
                "taints": "".join(f"{taint}\n" for taint in planned.taints),
                "guest-keys": keys_document,
                "guest-user": spec.access.user,
            },
            triggers=[self.guest.id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[cluster_network, *control_planes, *waits[What.NODE]]),
        )
        self.register_outputs({"address": self.host.address})


def leaving(name: str, first: str) -> Step:
    """The step by which a worker leaves the cluster, on its first control plane."""
    return Step("remove-node", name, "Kubernetes", {"grace": str(DRAIN_SECONDS), "first": first})


def guest_arguments(planned: PlannedWorker) -> dict[str, str]:
    """What the steps that make a guest are told of its type: sizes in bytes."""
    return {
        "disk": str(planned.node_type.disk.bytes),
        "type": planned.type_name,
        "emulator": planned.architecture.qemu_binary,
        "cpu_model": planned.node_type.cpu_model,
        "memory": str(planned.node_type.memory.bytes),
        **({} if planned.architecture.resumes else {"resumes": "no"}),
    }


def host_sources(spec: ClusterSpec) -> dict[str, str]:
    """Where workers' hosts get packages from, and what they trust."""
    return {**apt_files(spec, kubernetes=False), **authority_files(spec), **proxy_files(spec)}


def _host_files(spec: ClusterSpec, planned: PlannedWorker) -> dict[str, str]:
    return {
        **host_sources(spec),
        **authorized_keys(spec),
        "host-packages": "".join(f"{package}\n" for package in planned.architecture.host_packages),
        "network.xml": network_xml(spec.guest_link),
        "q8s-payload.socket": payload_socket(spec.guest_link),
        **{name: (HOSTSCRIPTS / name).read_text(encoding="utf-8") for name in _HOST_SERVICES},
    }


def _document(documents: pulumi.Output[Mapping[str, str]], path: str) -> pulumi.Output[str]:
    return documents.apply(lambda files: files[path])
