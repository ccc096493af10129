"""The API server's configuration of admission plugins (apiserver.config.k8s.io/v1)."""

from __future__ import annotations

import yaml


def admission_configuration() -> str:
    """Return the standard of pods in namespaces that have none of their own: warn and audit, refuse nothing.

    Source: "Enforce Pod Security Standards by Configuring the Built-in Admission Controller" of the Kubernetes
    documentation. A default that refuses would break workloads; a namespace's label does so where it is wanted.
    """
    standard = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {
            "enforce": "privileged",
            "enforce-version": "latest",
            "audit": "baseline",
            "audit-version": "latest",
            "warn": "baseline",
            "warn-version": "latest",
        },
        # The cluster's own, which are privileged.
        "exemptions": {"usernames": [], "runtimeClasses": [], "namespaces": ["kube-system", "kube-flannel"]},
    }
    return yaml.safe_dump(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AdmissionConfiguration",
            "plugins": [{"name": "PodSecurity", "configuration": standard}],
        },
        sort_keys=False,
    )
