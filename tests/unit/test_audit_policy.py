"""What the API server's audit log has of a request.

The policy is evaluated as the API server does it ("Auditing" of the Kubernetes documentation, and the reference of
audit.k8s.io/v1): the first rule that matches decides; without one a request is not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from q8s_infra.render.audit import audit_policy
from q8s_infra.render.templates import REPOSITORY
from tests.unit.hostscript import step

ADMIN = ("kubernetes-admin", "kubeadm:cluster-admins", "system:authenticated")
KUBELET = ("system:node:demo-arm-0", "system:nodes", "system:authenticated")
CONTROLLERS = ("system:kube-controller-manager", "system:authenticated")
SCHEDULER = ("system:kube-scheduler", "system:authenticated")
API_SERVER = ("system:apiserver", "system:masters")
POD = ("system:serviceaccount:default:app", "system:serviceaccounts", "system:serviceaccounts:default")
ANYBODY = ("system:anonymous", "system:unauthenticated")


@dataclass(frozen=True)
class Request:
    """A request: the user and its groups; a path, or a resource as ``group:resource/subresource``."""

    who: Sequence[str]
    verb: str
    what: str
    namespace: str = "default"
    name: str = ""


def matches_resource(rule: Mapping[str, Any], request: Request) -> bool:
    """Whether a rule for resources is for a request's."""
    if request.what.startswith("/"):
        return False
    if rule.get("namespaces") and request.namespace not in rule["namespaces"]:
        return False
    group, _, combined = request.what.rpartition(":")
    resource, _, subresource = combined.partition("/")
    for each in rule.get("resources", []):
        if each.get("group", "") != group:
            continue
        if each.get("resourceNames") and request.name not in each["resourceNames"]:
            continue
        wanted = {combined, "*", f"{resource}/*"} | ({f"*/{subresource}"} if subresource else set())
        if not each.get("resources") or wanted & set(each["resources"]):
            return True
    return not rule.get("resources")


def matches(rule: Mapping[str, Any], request: Request) -> bool:
    """Whether a rule is for a request."""
    user, *groups = request.who
    if rule.get("users") and user not in rule["users"]:
        return False
    if rule.get("userGroups") and not set(groups) & set(rule["userGroups"]):
        return False
    if rule.get("verbs") and request.verb not in rule["verbs"]:
        return False
    if rule.get("namespaces") or rule.get("resources"):
        return matches_resource(rule, request)
    if urls := rule.get("nonResourceURLs"):
        path = request.what
        return path.startswith("/") and any(
            url in {"*", path} or (url.endswith("*") and path.startswith(url[:-1])) for url in urls
        )
    return True


def level(request: Request, policy: Mapping[str, Any]) -> str:
    """What of a request is recorded."""
    found: list[str] = [rule["level"] for rule in policy["rules"] if matches(rule, request)]
    return found[0] if found else "None"


RECORDED = [
    Request(ADMIN, "get", "pods/exec"),
    Request(ADMIN, "create", "pods/exec"),
    Request(ADMIN, "get", "pods/attach"),
    Request(ADMIN, "get", "pods/portforward"),
    Request(ADMIN, "get", "pods/proxy"),
    Request(ADMIN, "get", "pods/log"),
    Request(ADMIN, "get", "services/proxy", "kube-system"),
    Request(ADMIN, "get", "nodes/proxy", ""),
    Request(POD, "create", "nodes/proxy", ""),
    # Whoever it is: components have no business in there.
    Request(KUBELET, "get", "pods/exec"),
    Request(CONTROLLERS, "get", "nodes/proxy", ""),
    Request(ADMIN, "get", "secrets", name="password"),
    Request(ADMIN, "list", "secrets", ""),
    Request(POD, "watch", "secrets"),
    Request(ANYBODY, "get", "secrets"),
    Request(KUBELET, "get", "secrets", name="password"),
    Request(ADMIN, "create", "secrets"),
    Request(ADMIN, "get", "configmaps", name="settings"),
    Request(POD, "list", "configmaps", "kube-system"),
    Request(POD, "get", "configmaps", "default", "cluster-info"),
    Request(ANYBODY, "list", "configmaps", "kube-public"),
    Request(KUBELET, "create", "authentication.k8s.io:tokenreviews", ""),
    Request(KUBELET, "create", "serviceaccounts/token"),
    Request(POD, "create", "pods"),
    Request(ADMIN, "patch", "pods/ephemeralcontainers"),
    Request(ADMIN, "delete", "apps:deployments"),
    Request(KUBELET, "patch", "nodes/status", ""),
    Request(CONTROLLERS, "update", "apps:replicasets"),
    Request(ADMIN, "create", "rbac.authorization.k8s.io:clusterrolebindings", ""),
    Request(KUBELET, "create", "certificates.k8s.io:certificatesigningrequests", ""),
]
LEFT_OUT = [
    Request(ADMIN, "list", "pods"),
    Request(ADMIN, "get", "nodes", "", "demo-arm-0"),
    Request(ADMIN, "watch", "apps:deployments", ""),
    Request(KUBELET, "watch", "pods", ""),
    Request(KUBELET, "watch", "configmaps", "kube-system", "kube-proxy"),
    Request(CONTROLLERS, "watch", "secrets", ""),
    Request(CONTROLLERS, "list", "configmaps", ""),
    Request(SCHEDULER, "get", "configmaps", "kube-system", "extension-apiserver-authentication"),
    Request(API_SERVER, "list", "secrets", ""),
    Request(ANYBODY, "get", "configmaps", "kube-public", "cluster-info"),
    Request(ANYBODY, "get", "/readyz"),
    Request(POD, "get", "/metrics"),
    Request(KUBELET, "update", "coordination.k8s.io:leases", "kube-node-lease"),
    Request(KUBELET, "create", "events"),
    Request(SCHEDULER, "create", "events.k8s.io:events"),
]


@pytest.fixture
def policy() -> dict[str, Any]:
    written: dict[str, Any] = yaml.safe_load(audit_policy())
    return written


@pytest.mark.parametrize("request_", RECORDED, ids=lambda it: f"{it.who[0]} {it.verb} {it.what} {it.name}")
def test_who_reaches_into_pods_reads_secrets_or_changes_objects_is_recorded(
    policy: dict[str, Any], request_: Request
) -> None:
    assert level(request_, policy) == "Metadata"


@pytest.mark.parametrize("request_", LEFT_OUT, ids=lambda it: f"{it.who[0]} {it.verb} {it.what} {it.name}")
def test_the_noise_of_components_and_ordinary_reads_are_not_recorded(policy: dict[str, Any], request_: Request) -> None:
    assert level(request_, policy) == "None"


def test_no_body_of_a_request_or_response_is_ever_recorded(policy: dict[str, Any]) -> None:
    assert {rule["level"] for rule in policy["rules"]} == {"None", "Metadata"}


PODS: dict[str, Any] = {"group": "", "resources": ["pods"]}


@pytest.mark.parametrize(
    ("rule", "what", "matched"),
    [
        ({"resources": [PODS]}, "pods", True),
        ({"resources": [PODS]}, "pods/exec", False),
        ({"resources": [PODS]}, "metrics.k8s.io:pods", False),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, "pods/exec", True),
        ({"resources": [{"group": "", "resources": ["*/proxy"]}]}, "nodes/proxy", True),
        ({"resources": [{"group": "", "resources": ["*/proxy"]}]}, "nodes", False),
        ({"resources": [{"group": "", "resources": ["*"]}]}, "nodes/proxy", True),
        ({"resources": [{"group": "apps"}]}, "apps:deployments/scale", True),
        ({"namespaces": ["default"]}, "secrets", True),
        ({"namespaces": ["kube-system"]}, "secrets", False),
        ({"namespaces": ["default"]}, "/healthz", False),
        ({"nonResourceURLs": ["/healthz*"]}, "/healthz/etcd", True),
        ({"nonResourceURLs": ["/healthz*"]}, "pods", False),
        ({}, "/healthz", True),
    ],
)
def test_the_evaluation_is_the_documented_one(rule: dict[str, Any], what: str, matched: bool) -> None:
    assert matches(rule, Request(ADMIN, "get", what)) == matched


@pytest.mark.parametrize(
    ("had", "cut_off", "restarts"),
    [("former", False, True), ("same", False, False), ("same", True, True), (None, False, True)],
)
def test_a_running_api_server_is_restarted_for_another_policy_only(
    tmp_path: Path, had: str | None, cut_off: bool, restarts: bool
) -> None:
    (tmp_path / "new.yaml").write_text("same")
    target = tmp_path / "audit" / "policy.yaml"
    target.parent.mkdir()
    if had is not None:
        target.write_text(had)
    if cut_off:
        target.with_name("policy.yaml.changed").touch()
    does = 'restarted() { echo "restarted $1 with $(cat audit/policy.yaml)"; }; progress() { :; }'
    sourced = f"source {REPOSITORY}/hostscripts/static-pods.sh; kubernetes_audit=$PWD/audit; {does}"
    for expected in ("restarted kube-apiserver with same\n" if restarts else "", ""):
        done = step(tmp_path, "eval", f"{sourced}; audit_policy new.yaml")
        assert (done.returncode, done.stdout) == (0, expected), done.stderr
    assert [path.name for path in target.parent.iterdir()] == ["policy.yaml"]


def test_a_restart_that_failed_is_made_up_for(tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text("new")
    sourced = f"source {REPOSITORY}/hostscripts/static-pods.sh; kubernetes_audit=$PWD/audit; progress() {{ :; }}"
    failed = step(tmp_path, "eval", f"{sourced}; restarted() {{ exit 1; }}; mkdir audit; audit_policy new.yaml")
    assert failed.returncode == 1
    done = step(tmp_path, "eval", f"{sourced}; restarted() {{ echo restarted; }}; audit_policy new.yaml")
    assert done.stdout == "restarted\n"
