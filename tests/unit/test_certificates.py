"""Until when certificates hold, and what is said before they expire."""

from __future__ import annotations

from datetime import timedelta

import yaml

from q8s_infra.certificates import OUTPUT, expires, warnings
from q8s_infra.kept import COMPONENT
from tests.unit.certificate import EXPIRES, client_certificate_data


def stack(**outputs: str) -> dict[str, dict[str, object]]:
    """What a stack knows of its cluster."""
    return {"urn:1": {"type": COMPONENT, "outputs": outputs}, "urn:2": {"type": "another", "outputs": {OUTPUT: "no"}}}


def test_a_kubeconfig_says_when_its_certificate_expires() -> None:
    user = {"name": "admin", "user": {"client-certificate-data": client_certificate_data()}}
    assert expires(yaml.safe_dump({"users": [user]})) == EXPIRES.isoformat()


def test_it_is_said_two_months_before_and_after() -> None:
    known = stack(**{OUTPUT: EXPIRES.isoformat()})
    assert warnings(known, EXPIRES - timedelta(days=61)) == ()
    for days in (-59, 0, 400):
        (told,) = warnings(known, EXPIRES + timedelta(days=days))
        assert "expire on 2037-11-25" in told
        assert "python -m q8s_infra renew" in told


def test_a_stack_without_a_cluster_says_nothing() -> None:
    assert warnings({}) == ()
    assert warnings(stack(endpoint="10.0.0.1:6443")) == ()
