"""Until when a cluster's certificates hold: kubeadm makes them for a year, and a cluster may live longer."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import yaml
from cryptography import x509

from q8s_infra.kept import COMPONENT

OUTPUT: Final = "certificatesExpire"
"""The output of the cluster's component that says when, in ISO 8601."""
_SOON: Final = timedelta(days=60)


def expires(kubeconfig: str) -> str:
    """When the administrator's certificate expires, in ISO 8601: those of the control planes are made with it.

    Args:
        kubeconfig: as kubeadm wrote it.
    """
    user = yaml.safe_load(kubeconfig)["users"][0]["user"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
    return certificate.not_valid_after_utc.isoformat()


def warnings(resources: Mapping[str, Mapping[str, Any]], now: datetime | None = None) -> tuple[str, ...]:
    """What to tell where the certificates of the stack's cluster expire soon, or have.

    Args:
        resources: types and outputs of the stack's resources by their URNs.
        now: today, by default.
    """
    dates = (
        datetime.fromisoformat(resource["outputs"][OUTPUT])
        for resource in resources.values()
        if resource["type"] == COMPONENT and OUTPUT in resource["outputs"]
    )
    return tuple(
        f"the cluster's certificates expire on {date:%Y-%m-%d}: renew them with python -m q8s_infra renew --stack STACK"
        for date in dates
        if date - (now or datetime.now(UTC)) < _SOON
    )
