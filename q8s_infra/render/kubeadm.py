"""kubeadm configuration files (kubeadm.k8s.io/v1beta4).

Source of the fields: "kubeadm Configuration (v1beta4)" of the Kubernetes reference; the hardening flags are those
that kube-bench asks of a kubeadm cluster (CIS benchmark, sections 1.2 to 1.4 and 4.2); docs/security.md lists those
that are left out. They reach a cluster when it is made: later control planes and workers take the cluster's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from q8s_infra.defaults import CONTROL_PLANE_PORT
from q8s_infra.render.endpoint import endpoint
from q8s_infra.spec.addresses import DEFAULT_SIZE
from q8s_infra.spec.cluster import KUBEADMS_PERIOD

if TYPE_CHECKING:
    from q8s_infra.spec import ClusterSpec

_API = "kubeadm.k8s.io/v1beta4"
_AUDIT_POLICY = "/etc/kubernetes/audit/policy.yaml"
_AUDIT_LOGS = "/var/log/kubernetes/audit"
_ADMISSION = "/etc/kubernetes/admission/configuration.yaml"
_ADMISSION_PLUGINS = "NodeRestriction,DenyServiceExternalIPs"
"""kubeadm's own and one more: a Service with a control plane's address would take the API away from all workers."""
_CIPHER_SUITES = [
    f"TLS_ECDHE_{key}_WITH_AES_{cipher}" for key in ("ECDSA", "RSA") for cipher in ("128_GCM_SHA256", "256_GCM_SHA384")
]
"""With forward secrecy, by the names that kube-bench knows, too; those of TLS 1.3 cannot be chosen in Go."""


def init_configuration(spec: ClusterSpec, *, node: str, address: str, names: Sequence[str]) -> str:
    """What ``kubeadm init --config`` reads on the first control plane.

    Its host fills in the version, which is its kubeadm's (``@KUBERNETES@``): that of a cluster that is there changes by
    upgrades, and its making is not done again for it.

    Args:
        spec: the cluster.
        node: the node's name.
        address: the address that the API server announces.
        names: further addresses and names under which clients reach the API server.
    """
    init: dict[str, Any] = {
        "apiVersion": _API,
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": address, "bindPort": CONTROL_PLANE_PORT},
        "nodeRegistration": _registration(spec, node, address),
        "timeouts": _timeouts(),
    }
    # The token that init makes by itself is of no use here: each worker gets one of its own.
    init["bootstrapTokens"] = [
        {"ttl": "1m0s", "description": "q8s: unused", "groups": ["system:bootstrappers:q8s-unused"]}
    ]
    cluster = {
        "apiVersion": _API,
        "kind": "ClusterConfiguration",
        "clusterName": spec.name,
        "kubernetesVersion": "@KUBERNETES@",
        "controlPlaneEndpoint": endpoint(spec),
        "networking": {"podSubnet": str(spec.kubernetes.pod_cidr), "serviceSubnet": str(spec.kubernetes.service_cidr)},
        "apiServer": {
            "certSANs": sorted({address, *names}),
            "extraArgs": _arguments(
                {
                    "profiling": "false",
                    # An argument replaces kubeadm's own of the same name.
                    "enable-admission-plugins": _ADMISSION_PLUGINS,
                    "admission-control-config-file": _ADMISSION,
                    "tls-cipher-suites": ",".join(_CIPHER_SUITES),
                    "service-node-port-range": spec.node_ports,
                    "audit-policy-file": _AUDIT_POLICY,
                    "audit-log-path": f"{_AUDIT_LOGS}/audit.log",
                    "audit-log-maxage": "30",
                    "audit-log-maxbackup": "10",
                    "audit-log-maxsize": "100",
                }
            ),
            "extraVolumes": [
                _mounted_file("audit-policy", _AUDIT_POLICY),
                _mounted_file("admission", _ADMISSION),
                {
                    "name": "audit-logs",
                    "hostPath": _AUDIT_LOGS,
                    "mountPath": _AUDIT_LOGS,
                    "pathType": "DirectoryOrCreate",
                },
            ],
        },
        "controllerManager": {"extraArgs": _arguments({"profiling": "false", **_node_subnets(spec)})},
        "scheduler": {"extraArgs": _arguments({"profiling": "false"})},
    }
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": spec.kubernetes.cgroup_driver,
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}},
        "authorization": {"mode": "Webhook"},
        "readOnlyPort": 0,
        "tlsCipherSuites": list(_CIPHER_SUITES),
        "streamingConnectionIdleTimeout": "5m0s",
        "eventRecordQPS": 5,
        "rotateCertificates": True,
        # What kubelet looks at all the time costs an emulated CPU dearly (docs/decisions/0005).
        "volumeStatsAggPeriod": "10m0s",
        "containerLogMonitorInterval": "1m0s",
        **_reserves(),
    }
    proxy: dict[str, Any] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
    }
    if spec.kubernetes.cgroup_driver == "cgroupfs":
        # Hosts without systemd's driver are containers: they have cgroup v1, on which kubelet does not start from 1.35
        # on by itself, and limits of connections that they may not change (0: leave them).
        kubelet["failCgroupV1"] = False
        proxy["conntrack"] = {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return yaml.safe_dump_all([init, cluster, kubelet, proxy], sort_keys=False)


def join_configuration(
    spec: ClusterSpec,
    *,
    node: str,
    address: str,
    token: str,
    ca_cert_hash: str,
    certificate_key: str,
) -> str:
    """What ``kubeadm join --config`` reads on one more control plane; workers join by their hosts."""
    join: dict[str, Any] = {
        "apiVersion": _API,
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {"token": token, "apiServerEndpoint": endpoint(spec), "caCertHashes": [ca_cert_hash]}
        },
        "nodeRegistration": _registration(spec, node, address),
        "controlPlane": {
            "localAPIEndpoint": {"advertiseAddress": address, "bindPort": CONTROL_PLANE_PORT},
            "certificateKey": certificate_key,
        },
        "timeouts": _timeouts(),
    }
    return yaml.safe_dump(join, sort_keys=False)


def upgrade_configuration(spec: ClusterSpec) -> str:
    """What ``kubeadm upgrade`` reads on a control plane: the first of them takes ``apply``, the others ``node``."""
    ignored = list(spec.kubernetes.ignore_preflight_errors)
    # A pod that has to be done within 15 s (kubeadm's phases/upgrade/health.go): on an emulated node none is.
    if "all" not in ignored:
        ignored.append("CreateJob")
    upgrade = {
        "apiVersion": _API,
        "kind": "UpgradeConfiguration",
        "apply": {"kubernetesVersion": f"v{spec.kubernetes.version}", "ignorePreflightErrors": ignored},
        "node": {"ignorePreflightErrors": ignored},
        "timeouts": {**_timeouts(), "upgradeManifests": "10m0s"},
    }
    return yaml.safe_dump(upgrade, sort_keys=False)


def certificate_files(spec: ClusterSpec) -> dict[str, str]:
    """What the making of a cluster finds on its host, and adds to its configuration; nothing for kubeadm's own period.

    It is no part of that configuration: in a cluster that is there the period is for certificates to come, and its
    making is not done again for it.
    """
    if spec.kubernetes.certificate_validity_period == KUBEADMS_PERIOD:
        return {}
    return {"certificates.yaml": yaml.safe_dump(_validity(spec))}


def renewal_configuration(spec: ClusterSpec) -> str:
    """What ``kubeadm certs renew --config`` reads on a control plane, which fills in its kubeadm's version.

    All else of a certificate is as in the former one.
    """
    cluster = {
        "apiVersion": _API,
        "kind": "ClusterConfiguration",
        "kubernetesVersion": "@KUBERNETES@",
        **_validity(spec),
    }
    return yaml.safe_dump(cluster, sort_keys=False)


def _registration(spec: ClusterSpec, node: str, address: str) -> dict[str, Any]:
    registration: dict[str, Any] = {"name": node, "kubeletExtraArgs": _arguments({"node-ip": address})}
    if spec.kubernetes.ignore_preflight_errors:
        registration["ignorePreflightErrors"] = list(spec.kubernetes.ignore_preflight_errors)
    return registration


def _mounted_file(name: str, path: str) -> dict[str, Any]:
    """A file that the steps that make and join control planes put in place before kubeadm runs."""
    return {"name": name, "hostPath": path, "mountPath": path, "readOnly": True, "pathType": "File"}


def _node_subnets(spec: ClusterSpec) -> dict[str, str]:
    """The size of nodes' pod subnets, where it is not Kubernetes' own: clusters that were made before stay the same.

    By the name with the family: the controller manager takes either, but kubeadm measures podSubnet by this one only,
    and by 24 where it is not there.
    """
    size = spec.kubernetes.node_cidr_mask_size
    return {} if size == DEFAULT_SIZE else {"node-cidr-mask-size-ipv4": str(size)}


def _validity(spec: ClusterSpec) -> dict[str, str]:
    return {"certificateValidityPeriod": f"{spec.kubernetes.certificate_validity_period.hours}h"}


def _reserves() -> dict[str, Any]:
    """What pods leave to the node itself: enough for kubelet, containerd and the system, and little of a 2 GiB guest.

    All nodes of a cluster have one kubelet configuration, so the smallest kind sets the values. They lessen what is
    allocatable (``enforceNodeAllocatable`` is ``pods`` by default), so pods are killed before the system is. No pod
    takes all processes that the kernel has (32,768 with few CPUs). Source: "Reserve Compute Resources for System
    Daemons" and "Process ID Limits And Reservations" of the Kubernetes documentation.
    """
    return {
        "systemReserved": {"cpu": "50m", "memory": "100Mi", "pid": "1000"},
        "kubeReserved": {"cpu": "50m", "memory": "150Mi", "pid": "1000"},
        "podPidsLimit": 4096,
    }


def _timeouts() -> dict[str, str]:
    """Generous: an emulated guest on a busy host is up to sixty times slower than real hardware."""
    return {
        "kubeletHealthCheck": "10m0s",
        "tlsBootstrap": "15m0s",
        "discovery": "10m0s",
        "controlPlaneComponentHealthCheck": "10m0s",
    }


def _arguments(arguments: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in arguments.items()]
