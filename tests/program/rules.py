"""Which changed properties make a resource anew; any other is changed in place."""

from __future__ import annotations

from typing import Final

COMMAND: Final = "command:remote:Command"
COPY: Final = "command:remote:CopyToRemote"
LOCAL: Final = "command:local:Command"
INSTANCE: Final = "openstack:compute/instance:Instance"
PORT: Final = "openstack:networking/port:Port"
FLOATING_IP: Final = "openstack:networking/floatingIp:FloatingIp"
FLOATING_IP_LEADS: Final = "openstack:networking/floatingIpAssociate:FloatingIpAssociate"
GROUP: Final = "openstack:networking/secGroup:SecGroup"
KEYPAIR: Final = "openstack:compute/keypair:Keypair"
SERVER_GROUP: Final = "openstack:compute/serverGroup:ServerGroup"
KUBERNETES: Final = "pulumi:providers:kubernetes"

IMAGE_IDS: Final = "openstack:images/getImageIds:getImageIds"

EVERY: Final = ""
_OBJECT: Final = ("apiVersion", "kind", "metadata.name", "metadata.namespace")

# Sources: pulumi-command, `replaceOnChanges` of its schema; terraform-provider-openstack, `ForceNew` in
# openstack/resource_openstack_*.go; pulumi-kubernetes, provider.go (DiffConfig) and forceNewProperties in diff.go,
# with ConfigMaps immutable as they are by default.
REPLACING: Final[dict[str, tuple[str, ...]]] = {
    COMMAND: ("triggers",),
    COPY: ("triggers",),
    LOCAL: ("triggers",),
    INSTANCE: (
        "availabilityZone",
        "availabilityZoneHints",
        "blockDevices",
        "configDrive",
        "hypervisorHostname",
        "keyPair",
        "networkMode",
        "networks",
        "region",
        "schedulerHints",
        "userData",
    ),
    PORT: ("deviceId", "deviceOwner", "macAddress", "networkId", "region", "tenantId", "valueSpecs"),
    FLOATING_IP: (
        "address",
        "dnsDomain",
        "dnsName",
        "pool",
        "region",
        "tenantId",
        "valueSpecs",
    ),
    FLOATING_IP_LEADS: ("floatingIp", "region"),
    GROUP: ("deleteDefaultRules", "region", "tenantId"),
    "openstack:networking/secGroupRule:SecGroupRule": (EVERY,),
    KEYPAIR: (EVERY,),
    SERVER_GROUP: (EVERY,),
    KUBERNETES: ("clusterIdentifier",),
    "kubernetes:core/v1:Namespace": _OBJECT,
    "kubernetes:core/v1:ServiceAccount": _OBJECT,
    "kubernetes:core/v1:ConfigMap": (*_OBJECT, "binaryData", "data"),
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole": _OBJECT,
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding": (*_OBJECT, "roleRef"),
    "kubernetes:apps/v1:DaemonSet": (*_OBJECT, "spec.selector"),
}


def replaces(kind: str, path: str) -> bool:
    """True when a change at a path (``spec.selector.matchLabels``) needs a new resource of this type."""
    return any(within(path, rule) for rule in REPLACING[kind])


def may_replace(kind: str, name: str) -> bool:
    """True when something in a property, whatever it is, needs a new resource."""
    return any(within(name, rule) or within(rule, name) for rule in REPLACING[kind])


def within(path: str, rule: str) -> bool:
    """True when a rule names a path or what the path is in."""
    return rule in (EVERY, path) or path.startswith(f"{rule}.")
