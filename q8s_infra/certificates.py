"""Until when a cluster's certificates hold: a cluster may live longer than they are valid."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Final

import yaml
from cryptography import x509

from q8s_infra.state.model import CLUSTER, StackState

OUTPUT: Final = "certificatesExpire"
"""The output of the cluster's component that says when, in ISO 8601."""
SINCE: Final = "certificatesSince"
"""The output that says since when they are valid. Clusters of former releases have none: theirs are for a year."""
_SOON: Final = timedelta(days=60)
_PART: Final = 3
"""Of the time that short-lived ones are valid for, the last part is soon."""


def expires(kubeconfig: str) -> str:
    """When the administrator's certificate expires, in ISO 8601: those of the control planes are made with it.

    Args:
        kubeconfig: as kubeadm wrote it.
    """
    return _certificate(kubeconfig).not_valid_after_utc.isoformat()


def since(kubeconfig: str) -> str:
    """When it was made, in ISO 8601."""
    return _certificate(kubeconfig).not_valid_before_utc.isoformat()


def _certificate(kubeconfig: str) -> x509.Certificate:
    user = yaml.safe_load(kubeconfig)["users"][0]["user"]
    return x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))


def warnings(state: StackState, now: datetime | None = None) -> tuple[str, ...]:
    """What to tell where the certificates of the stack's cluster expire soon, or have.

    Args:
        state: what the stack has.
        now: today, by default.
    """
    certificates = (
        (datetime.fromisoformat(outputs[OUTPUT]), outputs.get(SINCE))
        for cluster in state.of_type(CLUSTER)
        if OUTPUT in (outputs := cluster.outputs)
    )
    return tuple(
        f"the cluster's certificates expire on {date:%Y-%m-%d}: renew them with python -m q8s_infra renew --stack STACK"
        for date, made in certificates
        if date - (now or datetime.now(UTC)) < _soon(date, made)
    )


def _soon(expiry: datetime, made: str | None) -> timedelta:
    return min(_SOON, (expiry - datetime.fromisoformat(made)) / _PART) if made else _SOON
