"""Which checks of the CIS benchmark a new cluster meets, and why it does not meet the others."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from q8s_infra.render.templates import REPOSITORY
from tests.unit.cis import (
    Decision,
    at_least,
    audited,
    by_design,
    cluster,
    flag,
    has,
    is_set,
    kubelet,
    lacks,
    mode,
    never,
    owner,
    strong,
    unset,
)
from tests.unit.rendered import SHAPES

API, MANAGER, SCHEDULER, ETCD = "apiServer", "controllerManager", "scheduler", "etcd"
MANIFESTS = [f"manifests/{name}" for name in ("api", "controller-manager", "scheduler", "etcd")]
ROOT = "root:root"


@dataclass(frozen=True)
class Check:
    """A check of the benchmark.

    Attributes:
        number: the benchmark's.
        title: what has to be so.
        met: how it is decided.
        why_not: why it is not so here.
    """

    number: str
    title: str
    met: Decision
    why_not: str = ""


CHECKS = [
    *(
        check
        for position, name in enumerate(MANIFESTS)
        for check in (
            Check(f"1.1.{2 * position + 1}", f"only root reads {name}", mode(0o600, name)),
            Check(f"1.1.{2 * position + 2}", f"{name} is root's", owner(ROOT, name)),
        )
    ),
    Check(
        "1.1.9",
        "only root reads the CNI configuration",
        mode(0o600, "cni"),
        "Flannel's init container writes it for all to read; it has no secret",
    ),
    Check("1.1.10", "the CNI configuration is root's", owner(ROOT, "cni")),
    Check("1.1.11", "only its owner enters etcd's data directory", mode(0o700, "etcd data")),
    Check(
        "1.1.12",
        "etcd's data directory is a user's of its own",
        owner("etcd:etcd", "etcd data"),
        "kubeadm runs etcd as root, in a container; only root enters its data directory",
    ),
    Check("1.1.13", "only root reads the administrator's kubeconfigs", mode(0o600, "admin.conf", "super-admin.conf")),
    Check("1.1.14", "the administrator's kubeconfigs are root's", owner(ROOT, "admin.conf", "super-admin.conf")),
    Check("1.1.15", "only root reads the scheduler's kubeconfig", mode(0o600, "scheduler.conf")),
    Check("1.1.16", "the scheduler's kubeconfig is root's", owner(ROOT, "scheduler.conf")),
    Check("1.1.17", "only root reads the controller manager's kubeconfig", mode(0o600, "controller-manager.conf")),
    Check("1.1.18", "the controller manager's kubeconfig is root's", owner(ROOT, "controller-manager.conf")),
    Check("1.1.19", "certificates and keys are root's", owner(ROOT, "pki certificates", "pki keys")),
    Check("1.1.20", "only root writes certificates", mode(0o644, "pki certificates")),
    Check("1.1.21", "only root reads keys", mode(0o600, "pki keys")),
    Check(
        "1.2.1",
        "the API server refuses anonymous requests",
        flag(API, "anonymous-auth", "false"),
        "nodes that join look the CA up before they have credentials, and probes ask for /livez and /readyz; RBAC "
        "allows anonymous users nothing else",
    ),
    Check("1.2.2", "no static tokens", unset(API, "token-auth-file")),
    Check(
        "1.2.3",
        "Services with external addresses are refused",
        has(API, "enable-admission-plugins", "DenyServiceExternalIPs"),
    ),
    Check(
        "1.2.4",
        "the API server shows kubelets a certificate",
        is_set(API, "kubelet-client-certificate", "kubelet-client-key"),
    ),
    Check(
        "1.2.5",
        "the API server checks kubelets' certificates",
        is_set(API, "kubelet-certificate-authority"),
        "kubelets sign their serving certificates themselves: see 4.2.9",
    ),
    Check("1.2.6", "not everything is authorized", lacks(API, "authorization-mode", "AlwaysAllow")),
    Check("1.2.7", "kubelets are authorized for their node's objects only", has(API, "authorization-mode", "Node")),
    Check("1.2.8", "users are authorized by roles", has(API, "authorization-mode", "RBAC")),
    Check(
        "1.2.9",
        "the rate of events is limited",
        has(API, "enable-admission-plugins", "EventRateLimit"),
        "kubelets limit their own (eventRecordQPS); a limit for the server is for those who know their workloads",
    ),
    Check("1.2.10", "not everything is admitted", lacks(API, "enable-admission-plugins", "AlwaysAdmit")),
    Check(
        "1.2.11",
        "images are pulled for each pod",
        has(API, "enable-admission-plugins", "AlwaysPullImages"),
        "nodes without internet run images that the payload brings, and each pull costs an emulated CPU dearly",
    ),
    Check("1.2.12", "pods get service accounts", lacks(API, "disable-admission-plugins", "ServiceAccount")),
    Check(
        "1.2.13",
        "nothing is created in namespaces that go",
        lacks(API, "disable-admission-plugins", "NamespaceLifecycle"),
    ),
    Check(
        "1.2.14",
        "kubelets change their own node and pods only",
        has(API, "enable-admission-plugins", "NodeRestriction"),
    ),
    Check("1.2.15", "the API server is not profiled", flag(API, "profiling", "false")),
    Check("1.2.16", "the audit log is written", is_set(API, "audit-log-path")),
    Check("1.2.17", "the audit log is kept for 30 days", at_least(API, "audit-log-maxage", 30)),
    Check("1.2.18", "ten older files of the audit log are kept", at_least(API, "audit-log-maxbackup", 10)),
    Check("1.2.19", "a file of the audit log has 100 MB", at_least(API, "audit-log-maxsize", 100)),
    Check("1.2.20", "requests end after the default of a minute", unset(API, "request-timeout")),
    Check("1.2.21", "tokens of deleted service accounts are refused", unset(API, "service-account-lookup")),
    Check("1.2.22", "service accounts' tokens have a key of their own", is_set(API, "service-account-key-file")),
    Check("1.2.23", "the API server shows etcd a certificate", is_set(API, "etcd-certfile", "etcd-keyfile")),
    Check("1.2.24", "the API server serves TLS", is_set(API, "tls-cert-file", "tls-private-key-file")),
    Check("1.2.25", "users' certificates are checked", is_set(API, "client-ca-file")),
    Check("1.2.26", "the API server checks etcd's certificate", is_set(API, "etcd-cafile")),
    Check(
        "1.2.27",
        "Secrets are encrypted in etcd",
        is_set(API, "encryption-provider-config"),
        "the key would have to reach each control plane before it joins, and every restore, and could not be rotated "
        "yet; only root on a control plane reads etcd's data, and would read the key as well. Backups are sealed",
    ),
    Check(
        "1.2.28",
        "Secrets are encrypted by a strong provider",
        is_set(API, "encryption-provider-config"),
        "see 1.2.27",
    ),
    Check(
        "1.2.29",
        "the API server offers strong ciphers only",
        lambda it: strong(it.flags[API].get("tls-cipher-suites", "").split(",")),
    ),
    Check(
        "1.2.30",
        "service accounts' tokens end after an hour even for clients that do not renew them",
        flag(API, "service-account-extend-token-expiration", "false"),
        "Kubernetes' default holds: else clients that read their token only once fail after an hour",
    ),
    Check(
        "1.3.1",
        "the number of ended pods is limited on purpose",
        is_set(MANAGER, "terminated-pod-gc-threshold"),
        "the default of 12,500 holds: a lower one removes results of Jobs that users look for",
    ),
    Check("1.3.2", "the controller manager is not profiled", flag(MANAGER, "profiling", "false")),
    Check("1.3.3", "each controller has its own account", flag(MANAGER, "use-service-account-credentials", "true")),
    Check("1.3.4", "tokens are signed by a key of their own", is_set(MANAGER, "service-account-private-key-file")),
    Check("1.3.5", "pods get the cluster's CA", is_set(MANAGER, "root-ca-file")),
    Check("1.3.6", "kubelets' serving certificates may rotate", unset(MANAGER, "feature-gates")),
    Check("1.3.7", "the controller manager listens on loopback", flag(MANAGER, "bind-address", "127.0.0.1")),
    Check("1.4.1", "the scheduler is not profiled", flag(SCHEDULER, "profiling", "false")),
    Check("1.4.2", "the scheduler listens on loopback", flag(SCHEDULER, "bind-address", "127.0.0.1")),
    Check("2.1", "etcd serves TLS", is_set(ETCD, "cert-file", "key-file")),
    Check("2.2", "etcd asks clients for a certificate", flag(ETCD, "client-cert-auth", "true")),
    Check("2.3", "etcd makes no certificates by itself", unset(ETCD, "auto-tls")),
    Check("2.4", "etcd's members talk TLS", is_set(ETCD, "peer-cert-file", "peer-key-file")),
    Check("2.5", "etcd's members ask each other for a certificate", flag(ETCD, "peer-client-cert-auth", "true")),
    Check("2.6", "etcd's members make no certificates by themselves", unset(ETCD, "peer-auto-tls")),
    Check(
        "2.7",
        "etcd has a CA of its own",
        lambda it: it.flags[ETCD]["trusted-ca-file"] != it.flags[API]["client-ca-file"],
    ),
    Check(
        "3.1.1",
        "users do not log in by certificates, which cannot be revoked",
        never,
        "the kubeconfig that a stack gives out is kubeadm's; it expires (`kubernetes.certificateValidityPeriod`). "
        "Sites with an identity provider add OIDC",
    ),
    Check("3.1.2", "users do not log in as service accounts", by_design),
    Check("3.1.3", "users do not log in by bootstrap tokens", by_design),
    Check("3.2.1", "there is an audit policy", is_set(API, "audit-policy-file")),
    Check("3.2.2", "the audit policy has what is sensitive", audited),
    Check(
        "4.1.1",
        "only root reads kubelet's unit",
        mode(0o600, "kubelet service"),
        "it is like all units, Debian's own and ours: for all to read, and without a secret",
    ),
    Check("4.1.2", "kubelet's unit is root's", owner(ROOT, "kubelet service")),
    Check("4.1.3", "only root reads kube-proxy's kubeconfig", lambda it: "clientConnection" not in it.proxy),
    Check("4.1.4", "kube-proxy's kubeconfig is root's", lambda it: "clientConnection" not in it.proxy),
    Check(
        "4.1.5",
        "only root reads kubelet's kubeconfigs",
        mode(0o600, "kubelet.conf", "/etc/kubernetes/bootstrap-kubelet.conf"),
    ),
    Check("4.1.6", "kubelet's kubeconfig is root's", owner(ROOT, "kubelet.conf")),
    Check("4.1.7", "only root writes kubelet's CA", mode(0o644, "/etc/kubernetes/pki/ca.crt")),
    Check("4.1.8", "kubelet's CA is root's", owner(ROOT, "/etc/kubernetes/pki/ca.crt")),
    Check(
        "4.1.9",
        "only root reads kubelet's configuration",
        mode(0o600, "/var/lib/kubelet/config.yaml"),
        "kubeadm writes it for all to read, and so do we; it has no secret",
    ),
    Check("4.1.10", "kubelet's configuration is root's", owner(ROOT, "/var/lib/kubelet/config.yaml")),
    Check(
        "4.2.1", "kubelets refuse anonymous requests", kubelet("authentication.anonymous.enabled", lambda v: v is False)
    ),
    Check("4.2.2", "kubelets ask the API server who may", kubelet("authorization.mode", lambda v: v == "Webhook")),
    Check("4.2.3", "kubelets check certificates", kubelet("authentication.x509.clientCAFile", bool)),
    Check("4.2.4", "kubelets have no open port", kubelet("readOnlyPort", lambda v: v == 0)),
    Check("4.2.5", "idle connections end", kubelet("streamingConnectionIdleTimeout", lambda v: v not in {"0", "0s"})),
    Check("4.2.6", "kubelets make their firewall chains", kubelet("makeIPTablesUtilChains", lambda v: v is not False)),
    Check(
        "4.2.7",
        "nodes are called as their hosts are",
        lambda it: "hostname-override" not in it.arguments,
        "a guest gets its identity from its host after it has booted or resumed; the argument is the node's name all "
        "the same",
    ),
    Check("4.2.8", "the rate of kubelets' events is chosen", kubelet("eventRecordQPS", lambda v: v and v > 0)),
    Check(
        "4.2.9",
        "kubelets serve with certificates of the cluster's CA",
        lambda it: bool(it.kubelet.get("serverTLSBootstrap") or it.kubelet.get("tlsCertFile")),
        "their requests need an approver that knows which address belongs to which node; Kubernetes has none. Who "
        "stands between API server and kubelet can read exec, logs and port-forward",
    ),
    Check("4.2.10", "kubelets renew their certificates", kubelet("rotateCertificates", lambda v: v is True)),
    Check("4.2.11", "kubelets' serving certificates may rotate", kubelet("featureGates", lambda v: not v)),
    Check("4.2.12", "kubelets offer strong ciphers only", kubelet("tlsCipherSuites", strong)),
    Check(
        "4.2.13",
        "the number of processes of a pod is limited",
        kubelet("podPidsLimit", lambda v: bool(v) and v > 0),
    ),
    Check(
        "4.2.14",
        "pods have a seccomp profile by default",
        kubelet("seccompDefault", lambda v: v is True),
        "each system call of a pod would run a filter under emulation; a pod asks for it by its securityContext",
    ),
    Check(
        "4.2.15",
        "kubelet's unit refuses other addresses",
        never,
        "the security group decides who reaches kubelets",
    ),
    Check(
        "4.3.1",
        "kube-proxy's metrics are on loopback",
        lambda it: it.proxy.get("metricsBindAddress", "127.0.0.1").startswith("127.0.0.1"),
    ),
]


def test_every_check_is_there_once() -> None:
    numbers = [check.number for check in CHECKS]
    assert len(numbers) == len(set(numbers))
    ranges = {"1.1": 21, "1.2": 30, "1.3": 7, "1.4": 2, "2": 7, "3.1": 3, "3.2": 2, "4.1": 10, "4.2": 15, "4.3": 1}
    assert set(numbers) == {f"{part}.{each}" for part, last in ranges.items() for each in range(1, last + 1)}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_not_met_has_a_reason_and_what_has_a_reason_is_not_met(shape: str) -> None:
    made = cluster(shape)
    assert [c.number for c in CHECKS if not c.met(made) and not c.why_not] == [], "not met, without a reason"
    assert [c.number for c in CHECKS if c.met(made) and c.why_not] == [], (
        "met: take the reason out, here and in the document"
    )


def test_the_document_lists_what_is_not_met() -> None:
    text = (REPOSITORY / "docs/security.md").read_text()
    rows = re.findall(r"^\| (\d(?:\.\d+)+) \| (.+) \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(c.number, c.title, c.why_not) for c in CHECKS if c.why_not]
