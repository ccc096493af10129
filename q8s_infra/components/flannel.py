"""Flannel, the pod network, as typed resources.

Source of the objects: Flannel's published manifest for v0.25. Different here: every node announces the address that
the others reach it at (``HOST_IP``, on an emulated node its host's), and the interface is named, because with the
public address alone flanneld would take the interface that carries it, which in a guest is the loopback. It asks the
API server by the endpoint's name, not by the service's address. One container installs all files of its network. And
its CNI plugin waits for flanneld (``cloudinit/flannel-cni.sh``): a pod that comes before it need not be tried again.
"""

from __future__ import annotations

import json

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.rbac import v1 as rbac

from q8s_infra import versions
from q8s_infra.defaults import CONTROL_PLANE_PORT, FLANNEL_RESYNC_SECONDS
from q8s_infra.render.endpoint import endpoint_name
from q8s_infra.render.templates import text
from q8s_infra.spec import ClusterSpec

_NAMESPACE = "kube-flannel"
_LABELS = {"app": "flannel"}
# The node is Ready with the last of them. A file that is there may be run at this moment.
_INSTALL = """
install() { cp -f "$1" "$2.part"; chmod "$3" "$2.part"; mv -f "$2.part" "$2"; }
install /flannel /opt/cni/bin/flannel-plugin 0755
install /etc/kube-flannel/cni.sh /opt/cni/bin/flannel 0755
install /etc/kube-flannel/cni-conf.json /etc/cni/net.d/10-flannel.conflist 0644
"""


class Flannel(pulumi.ComponentResource):
    """The pod network of a cluster.

    Attributes:
        daemon: the DaemonSet; with it the network exists.
    """

    def __init__(
        self,
        name: str,
        *,
        spec: ClusterSpec,
        provider: k8s.Provider,
        deleted_with: pulumi.Resource,
        after: pulumi.Resource,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the pod network.

        Args:
            name: the cluster's.
            spec: the cluster.
            provider: of its API.
            deleted_with: with its end, the objects are gone.
            after: the API server runs the version that it is to run: no object is changed while it is upgraded.
            opts: the component's options.
        """
        super().__init__("q8s:index:Flannel", name, None, opts)
        child = pulumi.ResourceOptions(parent=self, provider=provider, deleted_with=deleted_with, depends_on=[after])
        namespace = k8s.core.v1.Namespace(
            f"{name}-flannel-namespace",
            metadata=meta.ObjectMetaArgs(name=_NAMESPACE, labels={"pod-security.kubernetes.io/enforce": "privileged"}),
            opts=child,
        )
        inside = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[namespace]))
        account = k8s.core.v1.ServiceAccount(
            f"{name}-flannel-account", metadata=meta.ObjectMetaArgs(name="flannel", namespace=_NAMESPACE), opts=inside
        )
        role = k8s.rbac.v1.ClusterRole(
            f"{name}-flannel-role",
            metadata=meta.ObjectMetaArgs(name="flannel"),
            rules=[
                rbac.PolicyRuleArgs(api_groups=[""], resources=["pods"], verbs=["get"]),
                rbac.PolicyRuleArgs(api_groups=[""], resources=["nodes"], verbs=["get", "list", "watch"]),
                rbac.PolicyRuleArgs(api_groups=[""], resources=["nodes/status"], verbs=["patch"]),
            ],
            opts=child,
        )
        binding = k8s.rbac.v1.ClusterRoleBinding(
            f"{name}-flannel-binding",
            metadata=meta.ObjectMetaArgs(name="flannel"),
            role_ref=rbac.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name="flannel"),
            subjects=[rbac.SubjectArgs(kind="ServiceAccount", name="flannel", namespace=_NAMESPACE)],
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[role])),
        )
        settings = k8s.core.v1.ConfigMap(
            f"{name}-flannel-settings",
            metadata=meta.ObjectMetaArgs(name="kube-flannel-cfg", namespace=_NAMESPACE, labels=_LABELS),
            data={"cni-conf.json": _cni(), "cni.sh": text("flannel-cni.sh"), "net-conf.json": _network(spec)},
            opts=inside,
        )
        self.daemon = k8s.apps.v1.DaemonSet(
            f"{name}-flannel",
            metadata=meta.ObjectMetaArgs(
                name="kube-flannel-ds",
                namespace=_NAMESPACE,
                labels=_LABELS,
                # Its nodes come one by one, some of them emulated: each worker waits for its own node instead.
                annotations={"pulumi.com/skipAwait": "true"},
            ),
            spec=k8s.apps.v1.DaemonSetSpecArgs(
                selector=meta.LabelSelectorArgs(match_labels=_LABELS),
                template=core.PodTemplateSpecArgs(metadata=meta.ObjectMetaArgs(labels=_LABELS), spec=_pod(spec)),
            ),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[account, binding, settings])),
        )
        self.register_outputs({})


def _cni() -> str:
    flannel = {"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"name": "cbr0", "cniVersion": "0.3.1", "plugins": [flannel, portmap]})


def _network(spec: ClusterSpec) -> str:
    return json.dumps({"Network": str(spec.kubernetes.pod_cidr), "EnableNFTables": False, "Backend": {"Type": "vxlan"}})


def _pod(spec: ClusterSpec) -> core.PodSpecArgs:
    flannel = f"docker.io/flannel/flannel:v{spec.kubernetes.flannel_version}"
    cni_plugin = f"docker.io/flannel/flannel-cni-plugin:v{versions.FLANNEL_CNI_PLUGIN}"
    return core.PodSpecArgs(
        host_network=True,
        priority_class_name="system-node-critical",
        service_account_name="flannel",
        tolerations=[core.TolerationArgs(operator="Exists")],
        init_containers=[
            # One, where the manifest has one for each file: an emulated CPU takes seconds for a container.
            core.ContainerArgs(
                name="install-cni",
                image=cni_plugin,
                command=["sh", "-ec", _INSTALL],
                volume_mounts=[
                    _mount("cni-plugin", "/opt/cni/bin"),
                    _mount("cni", "/etc/cni/net.d"),
                    _mount("settings", "/etc/kube-flannel"),
                ],
            ),
        ],
        containers=[
            core.ContainerArgs(
                name="kube-flannel",
                image=flannel,
                command=["/opt/bin/flanneld"],
                args=[
                    "--ip-masq",
                    "--kube-subnet-mgr",
                    "--public-ip=$(HOST_IP)",
                    "--iface-regex=^(eth|en)",
                    f"--iptables-resync={FLANNEL_RESYNC_SECONDS}",
                ],
                resources=core.ResourceRequirementsArgs(requests={"cpu": "100m", "memory": "50Mi"}),
                security_context=core.SecurityContextArgs(
                    privileged=False, capabilities=core.CapabilitiesArgs(add=["NET_ADMIN", "NET_RAW"])
                ),
                env=[
                    _field("POD_NAME", "metadata.name"),
                    _field("POD_NAMESPACE", "metadata.namespace"),
                    _field("HOST_IP", "status.hostIP"),
                    core.EnvVarArgs(name="EVENT_QUEUE_DEPTH", value="5000"),
                    # By the way that its node has: the service's address works once kube-proxy does, and that starts
                    # beside it.
                    core.EnvVarArgs(name="KUBERNETES_SERVICE_HOST", value=endpoint_name(spec)),
                    core.EnvVarArgs(name="KUBERNETES_SERVICE_PORT", value=str(CONTROL_PLANE_PORT)),
                ],
                volume_mounts=[
                    _mount("run", "/run/flannel"),
                    _mount("settings", "/etc/kube-flannel"),
                    _mount("xtables-lock", "/run/xtables.lock"),
                ],
            )
        ],
        volumes=[
            _host_path("run", "/run/flannel"),
            _host_path("cni-plugin", "/opt/cni/bin"),
            _host_path("cni", "/etc/cni/net.d"),
            _host_path("xtables-lock", "/run/xtables.lock", "FileOrCreate"),
            core.VolumeArgs(name="settings", config_map=core.ConfigMapVolumeSourceArgs(name="kube-flannel-cfg")),
        ],
    )


def _mount(name: str, path: str) -> core.VolumeMountArgs:
    return core.VolumeMountArgs(name=name, mount_path=path)


def _host_path(name: str, path: str, kind: str = "DirectoryOrCreate") -> core.VolumeArgs:
    return core.VolumeArgs(name=name, host_path=core.HostPathVolumeSourceArgs(path=path, type=kind))


def _field(name: str, path: str) -> core.EnvVarArgs:
    source = core.EnvVarSourceArgs(field_ref=core.ObjectFieldSelectorArgs(field_path=path))
    return core.EnvVarArgs(name=name, value_from=source)
