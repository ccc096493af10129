"""The API server's audit policy (audit.k8s.io/v1).

Source: "Auditing" of the Kubernetes documentation: the first rule that matches a request decides. So what is to be
recorded although it is a read comes before the rule that leaves reads out. Since kubectl 1.30 exec, attach and
port-forward are reads (GET, over WebSockets).
"""

from __future__ import annotations

from typing import Any, Final

import yaml

_READS: Final = ["get", "list", "watch"]
_INTO_PODS_AND_NODES: Final = [
    *(f"pods/{name}" for name in ("exec", "attach", "portforward", "proxy", "log")),
    "services/proxy",
    "nodes/proxy",
]
_COMPONENTS: Final = ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"]


def audit_policy() -> str:
    """Return the policy: who did what to which object, and who read what is secret; never the content.

    No rule goes beyond the level ``Metadata``: bodies of Secrets and of token reviews must not reach the log.
    """
    rules: list[dict[str, Any]] = [
        {"level": "Metadata", "resources": [{"group": "", "resources": _INTO_PODS_AND_NODES}]},
        # Public, and read again and again by each worker that waits for its token.
        {
            "level": "None",
            "verbs": ["get"],
            "namespaces": ["kube-public"],
            "resources": [{"group": "", "resources": ["configmaps"], "resourceNames": ["cluster-info"]}],
        },
        {"level": "None", "users": _COMPONENTS, "verbs": _READS},
        # Every kubelet watches the ConfigMaps of its pods, several on each node.
        {
            "level": "None",
            "userGroups": ["system:nodes"],
            "verbs": _READS,
            "resources": [{"group": "", "resources": ["configmaps"]}],
        },
        {
            "level": "Metadata",
            "resources": [
                {"group": "", "resources": ["secrets", "configmaps", "serviceaccounts/token"]},
                {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
            ],
        },
        {"level": "None", "verbs": _READS},
        {
            "level": "None",
            "resources": [
                {"group": "coordination.k8s.io", "resources": ["leases"]},
                {"group": "", "resources": ["events"]},
                {"group": "events.k8s.io", "resources": ["events"]},
            ],
        },
        {"level": "Metadata"},
    ]
    return yaml.safe_dump(
        {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules},
        sort_keys=False,
    )
