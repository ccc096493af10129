"""The kubernetes plugin under the real engine, against a real API server.

The binaries (etcd, kube-apiserver, kube-controller-manager) are those of the lab: ``Q8S_KUBE_BIN`` names their
directory.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from lab import layout
from tests.plugins.conftest import wait_until

if TYPE_CHECKING:
    from tests.plugins.conftest import Stack

_TOKEN = "token-of-the-test"


@dataclass(frozen=True)
class ApiServer:
    port: int
    certificate: bytes

    def kubeconfig(self, port: int | None = None) -> str:
        cluster = {
            "server": f"https://127.0.0.1:{port or self.port}",
            "certificate-authority-data": base64.b64encode(self.certificate).decode(),
        }
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "clusters": [{"name": "k", "cluster": cluster}],
                "users": [{"name": "u", "user": {"token": _TOKEN}}],
            }
        )

    def get(self, path: str) -> Any:
        trust = ssl.create_default_context(cadata=self.certificate.decode())
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}")
        request.add_header("Authorization", f"Bearer {_TOKEN}")
        with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
            text = answer.read().decode()
        return json.loads(text) if text.startswith("{") else text


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[ApiServer]:
    given = os.environ.get("Q8S_KUBE_BIN") or layout.TOOLS
    programs = {name: Path(given) / name for name in ("etcd", "kube-apiserver", "kube-controller-manager")}
    if missing := [str(path) for path in programs.values() if not path.is_file()]:
        pytest.skip(f"needs Kubernetes binaries: set Q8S_KUBE_BIN to their directory (no {', '.join(missing)})")
    directory = tmp_path_factory.mktemp("kube")
    client, peer, port = free_port(), free_port(), free_port()
    key = directory / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    (directory / "tokens").write_text(f"{_TOKEN},admin,admin,system:masters\n")
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, *words: str) -> None:
        with (directory / f"{name}.log").open("w") as log:
            running.append(subprocess.Popen([programs[name], *words], stdout=log, stderr=log, cwd=directory))

    def is_ready() -> bool:
        try:
            return bool(made().get("/readyz") == "ok" and made().get("/api/v1/namespaces/default"))
        except (OSError, ssl.SSLError):
            return False

    def made() -> ApiServer:
        return ApiServer(port, (directory / "certs" / "apiserver.crt").read_bytes())

    try:
        start(
            "etcd",
            f"--data-dir={directory}/etcd",
            f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{client}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={directory}/certs",
            f"--token-auth-file={directory}/tokens",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://127.0.0.1",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
        )
        wait_until(is_ready, 60)
        (directory / "kubeconfig").write_text(made().kubeconfig())
        start(
            "kube-controller-manager",
            f"--kubeconfig={directory}/kubeconfig",
            "--controllers=garbage-collector-controller,namespace-controller,daemonset-controller,deployment-controller",
            "--leader-elect=false",
            "--secure-port=0",
        )
        yield made()
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()


def _program(api: ApiServer, body: str, provider: str = 'cluster_identifier="one"', port: int | None = None) -> str:
    """A program whose kubeconfig is known only once a command has run, as in a real stack."""
    start = dedent(f"""
        import pulumi
        import pulumi_kubernetes as k8s
        from pulumi_command import local
        gate = local.Command("gate", create="true", logging="none")
        kubeconfig = pulumi.Output.secret(gate.stdout.apply(lambda _: {api.kubeconfig(port)!r}))
        provider = k8s.Provider("provider", kubeconfig=kubeconfig, {provider})
        options = pulumi.ResourceOptions(provider=provider)
    """)
    return start + dedent(body)


_NAMESPACE = """
    space = k8s.core.v1.Namespace("space", metadata={"name": "SPACE"}, opts=options)
    inside = {"namespace": space.metadata["name"]}
"""
_DAEMON_SET = """
    k8s.apps.v1.DaemonSet("agent", metadata={"name": "agent", **inside}, spec={
        "selector": {"match_labels": {"app": "LABEL"}},
        "template": {"metadata": {"labels": {"app": "LABEL"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }, opts=options)
"""


def test_life_of_objects(stack: Stack, api: ApiServer) -> None:
    secret = "not-for-the-state"
    body = (
        _NAMESPACE.replace("SPACE", "life")
        + _DAEMON_SET.replace("LABEL", "a")
        + f"""
    settings = k8s.core.v1.ConfigMap("settings", metadata=inside, data={{"a": "1"}}, opts=options)
    k8s.core.v1.Secret("hidden", metadata={{"name": "hidden", **inside}}, string_data={{"a": "{secret}"}}, opts=options)
    k8s.rbac.v1.ClusterRole("role", metadata={{"name": "life"}}, opts=options, rules=[
        {{"api_groups": [""], "resources": ["pods"], "verbs": ["VERB"]}}])
    pulumi.export("settings", settings.metadata["name"])
    """
    )
    program = _program(api, body.replace("VERB", "get"))
    planned = stack.preview(program)
    assert planned["agent"] == planned["hidden"] == "create"
    output = stack.up(program)
    assert "stand-in for the official kubernetes plugin" in output
    name = stack.outputs()["settings"]
    assert name.startswith("settings-")
    assert api.get(f"/api/v1/namespaces/life/configmaps/{name}")["data"] == {"a": "1"}
    assert api.get("/apis/apps/v1/namespaces/life/daemonsets/agent")["status"]["observedGeneration"] == 1
    encoded = base64.b64encode(secret.encode()).decode()
    for text in (output, stack.state(), stack.run("preview", "--diff")):
        assert secret not in text
        assert encoded not in text
        assert _TOKEN not in text

    assert stack.preview() == {}
    assert stack.preview(_program(api, body.replace("VERB", "list"))) == {"role": "update"}
    stack.up()
    assert api.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/life")["rules"][0]["verbs"] == ["list"]

    selector = _program(api, body.replace("VERB", "list").replace('"app": "a"', '"app": "b"'))
    assert "replace" in stack.preview(selector)["agent"]
    stack.up()
    assert api.get("/apis/apps/v1/namespaces/life/daemonsets/agent")["spec"]["selector"]["matchLabels"] == {"app": "b"}

    stack.run("destroy", "--yes")
    names = [each["metadata"]["name"] for each in api.get("/api/v1/namespaces")["items"]]
    assert "life" not in names


def test_refresh_of_unchanged_objects_changes_nothing(stack: Stack, api: ApiServer) -> None:
    body = _NAMESPACE.replace("SPACE", "drift")
    stack.up(_program(api, body))
    stack.run("refresh", "--yes")
    assert stack.preview() == {}


def test_object_of_another_is_not_taken_over(stack: Stack, api: ApiServer) -> None:
    body = 'k8s.core.v1.Namespace("space", metadata={"name": "default"}, opts=options)'
    assert 'namespaces "default" already exists' in stack.up(_program(api, body), fails=True)


def test_object_that_never_gets_ready_is_kept_and_tells_why(stack: Stack, api: ApiServer) -> None:
    body = (
        _NAMESPACE.replace("SPACE", "unready")
        + """
    labels = {"app": "x"}
    k8s.apps.v1.Deployment("web", metadata={"name": "web", **inside}, spec={
        "selector": {"match_labels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }, opts=pulumi.ResourceOptions(provider=provider, custom_timeouts=pulumi.CustomTimeouts(create="5s")))
    """
    )
    output = stack.up(_program(api, body), fails=True)
    assert "Deployment unready/web is not ready: waited for pods: 0 of 1" in output
    assert "unready/web" in stack.state()
    skipped = body.replace('"web", **inside', '"web", "annotations": {"pulumi.com/skipAwait": "true"}, **inside')
    stack.up(_program(api, skipped))


def test_other_kubeconfig_of_the_same_cluster_replaces_nothing(stack: Stack, api: ApiServer) -> None:
    body = _NAMESPACE.replace("SPACE", "moved")
    stack.up(_program(api, body))
    moved = stack.preview(_program(api, body, port=1))
    assert moved == {"provider": "update"}
    other = stack.preview(_program(api, body, 'cluster_identifier="two"'))
    assert "replace" in other["provider"]
    assert "replace" in other["space"]


@pytest.mark.parametrize("provider", ["", 'cluster_identifier="one"'])
def test_kubeconfig_that_is_not_known_yet_replaces_unless_the_cluster_is_named(
    stack: Stack, api: ApiServer, provider: str
) -> None:
    body = _NAMESPACE.replace("SPACE", "named" if provider else "unnamed")
    program = _program(api, body, provider)
    stack.up(program)
    assert stack.preview() == {}
    planned = stack.preview(program.replace('create="true",', 'create="true", triggers=[2],'))
    assert "replace" in planned.pop("gate")
    if provider:
        assert set(planned.values()) == {"update"}
    else:
        assert "replace" in planned["provider"]
        assert "replace" in planned["space"]


def _with_label(body: str) -> str:
    """The same namespace, changed."""
    return body.replace('metadata={"name"', 'metadata={"labels": {"added-later": "1"}, "name"')


def test_cluster_that_is_gone(stack: Stack, api: ApiServer) -> None:
    body = _NAMESPACE.replace("SPACE", "gone")
    stack.up(_program(api, body))
    # Its address alone may change: that needs no cluster.
    stack.up(_program(api, body, port=1))
    assert stack.preview() == {}
    assert "unreachable" in stack.run("refresh", "--yes", fails=True)
    assert stack.preview(_program(api, _with_label(body), port=1)) == {"space": "update"}
    assert "unreachable" in stack.up(fails=True)
    assert "unreachable" in stack.up(_program(api, "", port=1), fails=True)
    assert "unreachable" in stack.run("destroy", "--yes", fails=True)
    stack.up(_program(api, "", 'cluster_identifier="one", delete_unreachable=True', port=1))


def test_cluster_that_is_gone_by_environment(stack: Stack, api: ApiServer) -> None:
    body = _NAMESPACE.replace("SPACE", "gone-too")
    stack.up(_program(api, body))
    stack.up(_program(api, body, port=1))
    stack.environment["PULUMI_K8S_DELETE_UNREACHABLE"] = "true"
    stack.run("destroy", "--yes")
    assert "gone-too" not in stack.state()


def test_refresh_forgets_what_is_unreachable_on_request(stack: Stack, api: ApiServer) -> None:
    body = _NAMESPACE.replace("SPACE", "forgotten")
    stack.up(_program(api, body))
    stack.up(_program(api, body, 'cluster_identifier="one", delete_unreachable=True', port=1))
    stack.run("refresh", "--yes")
    assert stack.preview() == {"space": "create"}


def test_unreachable_cluster_may_be_skipped_but_not_deleted_from(stack: Stack, api: ApiServer) -> None:
    body = _NAMESPACE.replace("SPACE", "skipped")
    stack.up(_program(api, body))
    skipping = 'cluster_identifier="one", skip_update_unreachable=True'
    stack.up(_program(api, _with_label(body), skipping, port=1))
    stack.run("refresh", "--yes")
    assert "skipped" in stack.state()
    assert "unreachable" in stack.up(_program(api, "", skipping, port=1), fails=True)
    assert "added-later" not in stack.state()
    # Once it is there again, the change that was skipped is planned.
    assert stack.preview(_program(api, _with_label(body))) == {"provider": "update", "space": "update"}


@pytest.mark.parametrize("kubeconfig", ["nonsense", ApiServer(1, b"").kubeconfig()], ids=["nonsense", "nobody there"])
def test_cluster_that_never_was(stack: Stack, kubeconfig: str) -> None:
    """A preview needs no cluster, nor does the provider; an object does."""
    provider = dedent(f"""
        import pulumi
        import pulumi_kubernetes as k8s
        provider = k8s.Provider("provider", kubeconfig={kubeconfig!r})
    """)
    program = provider + (
        'k8s.core.v1.Namespace("space", metadata={"name": "space"}, opts=pulumi.ResourceOptions(provider=provider))'
    )
    assert stack.preview(program)["space"] == "create"
    stack.up(provider)
    assert "unreachable" in stack.up(program, fails=True)


def test_unsupported_is_refused(stack: Stack, api: ApiServer) -> None:
    output = stack.up(_program(api, "", 'render_yaml_to_directory="out"'), fails=True)
    assert "renderYamlToDirectory" in output
    assert "not supported by the stand-in" in output
    waits = 'k8s.core.v1.Namespace("n", metadata={"annotations": {"pulumi.com/waitFor": "x"}}, opts=options)'
    assert "pulumi.com/waitFor" in stack.up(_program(api, waits), fails=True)
