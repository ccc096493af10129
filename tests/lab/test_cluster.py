"""The main job, for real: what a stack config promises is what the cluster is."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from openstack.connection import Connection

from lab import layout
from lab.hosts import cgroups
from lab.kubectl import KubectlError
from lab.openstack import catalogue
from lab.openstack.passwords import Passwords
from tests.lab.conftest import KEEP, Cluster, inside, run

WORKERS = ("test-arm-small-0", "test-x86-small-0")
IMAGE = "docker.io/library/busybox:1.36"
LOOK = """
apiVersion: v1
kind: Pod
metadata: {name: look-%(node)s, labels: {app: look}}
spec:
  nodeName: %(node)s
  hostPID: true
  terminationGracePeriodSeconds: 0
  # It stays however long its node is away: five minutes is what a slow machine takes to boot a guest.
  tolerations: [{operator: Exists}]
  containers:
  - name: look
    image: docker.io/library/busybox:1.36
    command: [sh, -c, "echo here; httpd -f -p 8080 -h /host/etc"]
    securityContext: {privileged: true}
    volumeMounts: [{name: host, mountPath: /host}]
  volumes: [{name: host, hostPath: {path: /}}]
"""


def fetched(cluster: Cluster, node: str, url: str) -> str:
    """What the pod on a node gets from a URL: with its guest's curl, in the pod's own network."""
    words = ["busybox", "chroot", "/host", "curl", "-s", "--max-time", "30", url]
    return cluster.kubectl("exec", f"look-{node}", "--", *words).strip()


def eventually(check: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            result = check()
            if result:
                return result
        except (KubectlError, AssertionError):
            if time.monotonic() > end:
                raise
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(2)


@pytest.fixture(scope="session")
def pods(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A pod on each worker; name to address."""
    for node in WORKERS:
        file = tmp_path_factory.mktemp("pods") / "pod.yaml"
        file.write_text(LOOK % {"node": node})
        cluster.kubectl("apply", "-f", str(file))
    cluster.kubectl("wait", "pod", "-l", "app=look", "--for=condition=Ready", "--timeout=180s")
    return {
        pod["spec"]["nodeName"]: pod["status"]["podIP"]
        for pod in cluster.kubectl.get("pods", "-l", "app=look")["items"]
    }


def test_all_nodes_are_ready_and_carry_their_labels(cluster: Cluster) -> None:
    nodes = cluster.nodes()
    assert set(nodes) == {*WORKERS, "test-control-plane-0"}
    for node in nodes.values():
        conditions = {it["type"]: it["status"] for it in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
    labels = {name: nodes[name]["metadata"]["labels"] for name in WORKERS}
    assert labels["test-arm-small-0"]["kubernetes.io/arch"] == "arm64"
    assert labels["test-x86-small-0"]["kubernetes.io/arch"] == "amd64"
    assert {it["q8s.io/emulated"] for it in labels.values()} == {"true"}
    assert labels["test-x86-small-0"]["q8s.io/cpu-model"] == "EPYC-Rome"


def test_a_node_answers_at_its_hosts_address(cluster: Cluster, cloud: Connection) -> None:
    nodes = (*WORKERS, "test-control-plane-0")
    servers = (server for server in cloud.compute.servers() if server.name in nodes)
    addresses = {server.name: server.addresses[layout.PRIVATE_NETWORK][0]["addr"] for server in servers}
    internal = {
        name: [it["address"] for it in node["status"]["addresses"] if it["type"] == "InternalIP"]
        for name, node in cluster.nodes().items()
    }
    assert internal == {name: [addresses[name]] for name in nodes}


REACHED = """
for each in "$@"; do timeout 3 bash -c "exec 3<>/dev/tcp/${each/://}" 2>/dev/null && echo "$each"; done
true
"""


@pytest.mark.usefixtures("cluster")
def test_hosts_reach_only_what_their_nodes_need_of_each_other(cloud: Connection) -> None:
    """All of these ports are listened at (docs/security.md)."""
    addresses = {
        name: server.addresses[layout.PRIVATE_NETWORK][0]["addr"]
        for server in cloud.compute.servers()
        if (name := server.name.removeprefix("test-")) in {"control-plane-0", "x86-small-0", "arm-small-0"}
    }

    def reached(host: str, *others: str) -> set[str]:
        asked = [f"{addresses[node]}:{port}" for node in others for port in (22, 2379, 6443, 9474, 10250)]
        said = run(*inside(cloud, f"test-{host}", "sshd"), "bash", "-c", REACHED, "bash", *asked).split()
        names = {address: node for node, address in addresses.items()}
        return {f"{names[each.partition(':')[0]]}:{each.partition(':')[2]}" for each in said}

    control_plane = {f"control-plane-0:{port}" for port in (6443, 9474, 10250)}
    assert reached("x86-small-0", "control-plane-0", "arm-small-0") == {*control_plane, "arm-small-0:10250"}
    assert reached("control-plane-0", "x86-small-0") == {"x86-small-0:10250"}


WRITE = re.compile(
    r"(?P<user>[0-9a-f]{32}) (?P<project>[0-9a-f]{32}) .*\"(?P<method>POST|PUT|PATCH|DELETE) (?P<path>\S+)"
)
CAME_IN = re.compile(r"notification\.identity\.authenticate .*?(\{.*\})[^}\n]*$", re.MULTILINE)


def came_in(log: str) -> set[str]:
    """Who gave Keystone a password, by what it logs."""
    entries = [json.loads(match[1]) for match in CAME_IN.finditer(log)]
    return {entry["payload"]["initiator"]["user_id"] for entry in entries}


def test_all_was_made_by_the_member_alone(cluster: Cluster, cloud: Connection) -> None:
    """Nova and Neutron log who wrote, Keystone who came in (FR1, FR6)."""
    # Before this test itself comes in as the administrator.
    during = came_in(cluster.log("keystone"))
    member, administrator = cloud.current_user_id, catalogue.administrator(Passwords.load(layout.SECRETS))
    services = {administrator.identity.find_user(name).id for name in catalogue.SERVICES}
    writes = [match for service in ("nova-api", "neutron") for match in WRITE.finditer(cluster.log(service))]
    made = {(it["method"], it["path"].split("?")[0].split("/")[2]) for it in writes if it["user"] == member}
    if KEEP and ("POST", "servers") not in made:
        pytest.skip("the cluster was kept from an earlier run: its making is not in this part of the logs")
    kinds = ("servers", "os-keypairs", "ports", "security-groups", "security-group-rules")
    assert {("POST", it) for it in kinds} <= made
    assert {it["user"] for it in writes} <= {member, *services}
    # What services do for each other: Nova binds the port that it was given, Neutron tells Nova that it is done.
    assert {(it["method"], it["path"].split("/")[2]) for it in writes if it["user"] in services} <= {
        ("PUT", "ports"), ("POST", "os-server-external-events"),
    }  # fmt: skip
    assert during <= {member, *services}
    # Had the administrator come in before, it would have been seen.
    eventually(lambda: administrator.current_user_id in came_in(cluster.log("keystone")), seconds=10)


def test_hosts_keep_no_connection_that_nobody_uses(cluster: Cluster, cloud: Connection) -> None:
    for node in cluster.nodes():
        assert "unusedconnectiontimeout 60\n" in run(*inside(cloud, node, "sshd"), "sshd", "-T")


def test_every_worker_is_an_emulated_machine_on_a_host_of_its_own(cluster: Cluster, cloud: Connection) -> None:
    """One QEMU by its host, translating even its own architecture; libvirt says so, too (FR4)."""
    assert cluster.nodes().keys() > set(WORKERS)
    for name, emulator in zip(WORKERS, ("qemu-system-aarch64", "qemu-system-x86_64"), strict=True):
        members = cgroups.members(f"q8s-{cloud.compute.find_server(name).id}")
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in members}
        machines = {pid: words for pid, words in commands.items() if "qemu-system-" in words[0]}
        ((pid, words),) = machines.items()
        assert words[0].endswith(emulator)
        assert "tcg" in words[words.index("-accel") + 1].split(",")
        assert not any("kvm" in word for word in words)
        assert Path(f"/proc/{pid}").stat().st_uid != 0
        domain = ElementTree.parse(f"/proc/{pid}/root/etc/libvirt/qemu/guest.xml").getroot()
        assert domain.get("type") == "qemu"


@pytest.mark.parametrize(("node", "machine", "model"), [
    ("test-x86-small-0", "x86_64", "AMD EPYC-Rome"), ("test-arm-small-0", "aarch64", "Cortex-A57"),
])  # fmt: skip
def test_a_guest_is_what_its_type_says(
    cluster: Cluster, pods: dict[str, str], node: str, machine: str, model: str
) -> None:
    assert node in pods
    lscpu = dict(re.findall(r"^\s*([^:]+):\s+(.*)$", cluster.guest(node, "lscpu"), re.MULTILINE))
    assert lscpu["Architecture"] == machine
    assert lscpu["CPU(s)"] == "2"
    assert model in lscpu["Model name"]
    memory = int(re.search(r"MemTotal:\s+(\d+) kB", cluster.guest(node, "cat /proc/meminfo"))[1])
    assert 0.9 * 2 * 2**20 < memory <= 2 * 2**20
    assert int(cluster.guest(node, "cat /sys/class/block/vda/size")) * 512 == 10 * 2**30
    assert int(cluster.guest(node, "df --output=size -B1 /var/lib/containerd").split()[-1]) > 0.95 * 10 * 2**30


def test_pods_reach_each_other_across_architectures(cluster: Cluster, pods: dict[str, str]) -> None:
    for source in WORKERS:
        for target in WORKERS:
            assert fetched(cluster, source, f"http://{pods[target]}:8080/hostname") == target


def test_services_names_and_node_ports_work(cluster: Cluster, pods: dict[str, str]) -> None:
    assert pods
    cluster.kubectl("delete", "service", "look", "--ignore-not-found")
    cluster.kubectl("create", "service", "nodeport", "look", "--tcp=80:8080", "--node-port=30080")
    service = cluster.kubectl.get("service", "look")["spec"]["clusterIP"]
    for node in WORKERS:
        assert eventually(lambda node=node: fetched(cluster, node, f"http://{service}/hostname")) in WORKERS
        address = cluster.nodes()[node]["status"]["addresses"][0]["address"]
        other = next(it for it in WORKERS if it != node)
        assert fetched(cluster, other, f"http://{address}:30080/hostname") in WORKERS
        said = cluster.kubectl("exec", f"look-{node}", "--", "nslookup", "look.default.svc.cluster.local")
        assert service in said


@pytest.mark.parametrize("node", WORKERS)
@pytest.mark.usefixtures("pods")
def test_guests_start_containers_by_crun(cluster: Cluster, node: str) -> None:
    files = cluster.guest(node, "ls /run/containerd/runc/k8s.io/*").split()
    # What crun keeps of a container, and what runc would.
    assert "status" in files
    assert "state.json" not in files


@pytest.mark.parametrize("node", WORKERS)
@pytest.mark.usefixtures("pods")
def test_nobody_logs_in_at_a_guest_by_a_password(cluster: Cluster, node: str) -> None:
    assert "passwordauthentication no" in cluster.guest(node, "/usr/sbin/sshd -T").splitlines()


@pytest.mark.usefixtures("pods")
def test_no_join_token_is_left_where_a_worker_was_joined(cluster: Cluster, cloud: Connection) -> None:
    for node in WORKERS:
        on_host = run(*inside(cloud, node, "sshd"), "ls", "/var/lib/libvirt/q8s/guest").split()
        assert "root.qcow2" in on_host
        assert "join.json" not in on_host
        in_guest = cluster.kubectl("exec", f"look-{node}", "--", "ls", "/host/etc/kubernetes").split()
        assert in_guest == ["kubelet.conf", "manifests", "pki"]


@pytest.mark.usefixtures("pods")
def test_kubeadm_finds_on_a_worker_what_an_upgrade_goes_on_from(cluster: Cluster) -> None:
    configured = "cat /var/lib/kubelet/config.yaml"
    before = yaml.safe_load(cluster.guest(WORKERS[1], configured))
    assert "was successfully upgraded" in cluster.guest(WORKERS[1], "kubeadm upgrade node 2>&1")
    after = yaml.safe_load(cluster.guest(WORKERS[1], configured))
    assert after["resolvConf"] == "/run/systemd/resolve/resolv.conf"
    assert after == {**before, "resolvConf": after["resolvConf"]}


@pytest.mark.usefixtures("pods")
def test_a_worker_is_told_who_it_is(cluster: Cluster) -> None:
    names = {node: cluster.guest(node, "cat /etc/hostname /etc/machine-id").split() for node in WORKERS}
    assert [name for name, _ in names.values()] == list(WORKERS)
    systems = {name: node["status"]["nodeInfo"]["machineID"] for name, node in cluster.nodes().items()}
    assert {name: systems[name] for name in WORKERS} == {node: system for node, (_, system) in names.items()}
    assert len(set(systems.values())) == len(systems)
    for node in WORKERS:
        assert cluster.guest(node, "tail -n 1 /var/log/q8s-join.log").strip().endswith("q8s: joined")
        assert cluster.guest(node, "ls /etc/ssh | grep _key$").split() == ["ssh_host_ecdsa_key"]


@pytest.mark.usefixtures("pods")
def test_logs_and_exec_work_on_each_worker(cluster: Cluster, pods: dict[str, str]) -> None:
    del pods
    for node in WORKERS:
        assert cluster.kubectl("logs", f"look-{node}").startswith("here")


def test_a_second_up_changes_nothing(cluster: Cluster) -> None:
    changes = cluster.changes()
    assert set(changes) == {"same"}, changes
    assert changes["same"] > len(cluster.nodes())
