"""Nothing that lives is lost: a state older than the cloud, an edit that the cloud refuses, what stops a destroy.

And what pods and operators must not reach, or not unseen: the metadata service, and exec in the audit log.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from openstack.connection import Connection
from pulumi import automation

from lab import demo, layout
from lab.hosts.host import Folders, all_hosts
from lab.openstack import catalogue
from lab.openstack.passwords import Passwords
from lab.stack import open_stack
from tests.lab.conftest import Cluster, inside, leftovers, run
from tests.lab.servers import DISKLESS
from tests.lab.test_cluster import LOOK

pytestmark = pytest.mark.timeout(1200)

WORKER, ADDED = "test-x86-small-0", "test-x86-small-1"
WORKERS = (WORKER, "test-arm-small-0")
METADATA = "wget -q -T 5 -O - http://169.254.169.254/latest/user-data 2>&1 || true"


@pytest.fixture
def as_before(cluster: Cluster) -> Iterator[None]:
    """The fixture's own cluster again, at the end of a test."""
    yield
    cluster.configure()
    cluster.up()


@pytest.mark.usefixtures("as_before")
def test_a_state_older_than_the_cloud_deletes_no_worker(cluster: Cluster, cloud: Connection) -> None:
    older = cluster.stack.export_stack()
    cluster.configure(workers={"x86-small": 2})
    cluster.up()
    newer, lives = cluster.stack.export_stack(), cloud.compute.find_server(ADDED).id
    cluster.stack.import_stack(older)
    try:
        for ask in (cluster.preview, cluster.up):
            with pytest.raises(automation.CommandError) as refused:
                ask()
            assert f"instance {ADDED} ({lives})" in str(refused.value)
            assert f"openstack server delete {lives}" in str(refused.value)
        assert cloud.compute.find_server(ADDED).id == lives
        assert cluster.kubectl.ready()[ADDED] == "True"
    finally:
        cluster.stack.import_stack(newer)
    assert cluster.preview() == {}


@pytest.mark.usefixtures("as_before")
def test_a_flavor_that_the_cloud_refuses_leaves_the_worker_running(cluster: Cluster, cloud: Connection) -> None:
    lives = cloud.compute.find_server(WORKER).id
    cluster.configure(flavor={"x86-small": DISKLESS})
    for ask in (cluster.preview, cluster.up):
        with pytest.raises(automation.CommandError) as refused:
            ask()
        assert f"nodeTypes.x86-small.bootVolume: is missing, flavor {DISKLESS}" in str(refused.value)
    assert cloud.compute.find_server(WORKER).id == lives
    assert cluster.kubectl.ready()[WORKER] == "True"


@pytest.mark.usefixtures("as_before")
def test_a_flavor_that_no_quota_allows_leaves_the_worker_running(cluster: Cluster, cloud: Connection) -> None:
    administrator = catalogue.administrator(Passwords.load(layout.SECRETS))
    project, lives = cloud.current_project_id, cloud.compute.find_server(WORKER).id
    limits = administrator.compute.get_quota_set(project)
    cluster.configure(flavor={"x86-small": "c1.large"})
    administrator.compute.update_quota_set(project, cores=1, force=True)
    try:
        for ask in (cluster.preview, cluster.up):
            with pytest.raises(automation.CommandError) as refused:
                ask()
            assert "quota of cores: is exceeded" in str(refused.value)
    finally:
        administrator.compute.update_quota_set(project, cores=limits.cores)
    assert cloud.compute.find_server(WORKER).id == lives
    assert cluster.kubectl.ready()[WORKER] == "True"


@pytest.mark.full
@pytest.mark.usefixtures("as_before")
def test_a_rolling_replacement_that_fails_again_and_again_touches_no_other_worker(
    cluster: Cluster, cloud: Connection, tmp_path: Path
) -> None:
    """The guest of one of two workers can't be made, as its host has lost a program."""
    cluster.configure(workers={"x86-small": 2})
    cluster.up()
    boots = {name: node["status"]["nodeInfo"]["bootID"] for name, node in cluster.nodes().items()}
    # The one that has its turn first, and the one that waits for it.
    broken, other = WORKER, ADDED
    lives = cloud.compute.find_server(other).id
    host = inside(cloud, broken)
    moved = ("/usr/bin/genisoimage", "/usr/bin/genisoimage.moved")
    run(*host, "mv", *moved)
    try:
        cluster.configure(workers={"x86-small": 2}, memory={"x86-small": "1792MiB"})
        for _ in range(3):
            with pytest.raises(automation.CommandError) as failed:
                cluster.up()
            assert f"node {broken}, layer libvirt, step define-guest failed" in str(failed.value)
            assert cloud.compute.find_server(other).id == lives
            assert cluster.kubectl.ready()[other] == "True"
            assert cluster.nodes()[other]["status"]["nodeInfo"]["bootID"] == boots[other]
    finally:
        run(*host, "mv", *reversed(moved))
    cluster.up()
    assert cluster.kubectl.ready() == dict.fromkeys(boots, "True")
    assert not {boots[name] for name in (broken, other)} & {
        node["status"]["nodeInfo"]["bootID"] for node in cluster.nodes().values()
    }
    assert cluster.preview() == {}
    # Other tests look into this guest, and the pod that they do so by went with the former one.
    cluster.configure()
    cluster.up()
    (tmp_path / "look.yaml").write_text(LOOK % {"node": WORKER})
    cluster.kubectl("apply", "-f", str(tmp_path / "look.yaml"))
    cluster.kubectl("wait", "pod", f"look-{WORKER}", "--for=condition=Ready", "--timeout=180s")


ON_CONTROL_PLANE = """
apiVersion: v1
kind: Pod
metadata: {name: on-control-plane}
spec:
  nodeName: test-control-plane-0
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
  containers: [{name: wait, image: "docker.io/library/busybox:1.36", command: [sleep, "3600"]}]
"""


def test_a_pod_on_a_control_plane_is_refused_the_metadata_service(cluster: Cluster, tmp_path: Path) -> None:
    described = tmp_path / "pod.yaml"
    described.write_text(ON_CONTROL_PLANE)
    cluster.kubectl("apply", "-f", str(described))
    try:
        cluster.kubectl("wait", "pod", "on-control-plane", "--for=condition=Ready", "--timeout=120s")
        found = cluster.kubectl("exec", "on-control-plane", "--", "sh", "-c", METADATA)
    finally:
        cluster.kubectl("delete", "pod", "on-control-plane", "--wait=false")
    assert "Connection refused" in found


@pytest.mark.parametrize("node", WORKERS)
def test_pods_are_refused_the_metadata_service(cluster: Cluster, node: str) -> None:
    found = cluster.kubectl("exec", f"look-{node}", "--", "busybox", "sh", "-c", METADATA)
    assert "Connection refused" in found


def test_exec_is_in_the_audit_log(cluster: Cluster) -> None:
    cluster.kubectl("exec", f"look-{WORKER}", "--", "busybox", "true")
    time.sleep(1)
    logs = [Folders.of(host, layout.INSTANCES).var / "log/kubernetes/audit" for host in all_hosts(layout.INSTANCES)]
    written = "".join(path.read_text() for folder in logs if folder.is_dir() for path in folder.glob("*.log"))
    assert f"/api/v1/namespaces/default/pods/look-{WORKER}/exec" in written


FORGERY = """
import io, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from q8s_guest_state import Server

given = dict(each.split("=", 1) for each in sys.argv[2:])
state, empty = f"/states/{given['kind']}/{given['key']}", f"/states/{given['kind']}/" + "0" * 64
asked = [
    ("POST", state), ("POST", empty), ("POST", f"{state}/files"), ("POST", f"{empty}/files"),
    ("PUT", f"{state}/memory"), ("PUT", f"{state}/manifest.json"), ("PUT", f"{empty}/memory"), ("DELETE", state),
    ("PUT", "/" + given["payload"]), ("DELETE", "/" + given["payload"]),
    ("POST", f"{state}/reports/{given['generation']}"),
]
for guest, credential in ((given["guest"], given["credential"]), (given["guest"], "0" * 64), ("f" * 32, "0" * 64)):
    server = Server(given["url"], given["kind"], given["key"], Path("none"), guest, credential.encode())
    for method, path in asked:
        with server.asked(method, path, io.BytesIO(b""), size=0) as answer:
            print(method, path, answer.status)
"""


@pytest.mark.full
@pytest.mark.usefixtures("as_before")
def test_root_on_a_workers_host_cannot_make_another_worker_accept_its_state_or_payload(
    cluster: Cluster, cloud: Connection
) -> None:
    """With all that this host has been given, its guest's own credential among it."""
    # Another test may have left the type without a state: a new worker makes one.
    cluster.configure(workers={"x86-small": 2})
    cluster.up()
    cluster.configure()
    cluster.up()
    control_plane = inside(cloud, "test-control-plane-0", "sshd")
    address = next(each["address"] for each in cluster.stack.outputs()["nodes"].value if "role" in each)
    served = "cd /var/lib/private/q8s-states && sha256sum */*/* && cd /var/lib/q8s/artifacts && sha256sum */*"
    before = run(*control_plane, "sh", "-c", served)
    state = next(line.split()[1] for line in before.splitlines() if "x86-small/" in line)
    payload = next(line.split()[1] for line in before.splitlines() if "payload" in line)
    manifest = json.loads(run(*control_plane, "cat", f"/var/lib/private/q8s-states/{Path(state).parent}/manifest.json"))
    documents = _step_documents(cluster, f"{WORKER}-guest")
    guest, credential = documents["states.key"].split()
    given = {
        "url": f"http://{address}:9474", "kind": "x86-small", "key": state.split("/")[1], "payload": payload,
        "guest": guest, "credential": credential, "generation": json.loads(manifest["manifest"])["generation"],
    }  # fmt: skip
    words = [f"{name}={value}" for name, value in given.items()]
    host = inside(cloud, WORKER)
    scripts = run(*host, "sh", "-c", "dirname /home/*/.q8s/run-step.sh").strip()
    said = run(*host, "python3", "-c", FORGERY, scripts, *words).splitlines()
    assert len(said) == 3 * 11
    assert {line.split()[-1] for line in said} <= {"403", "409"}, said
    assert run(*control_plane, "sh", "-c", served) == before
    cluster.configure(workers={"x86-small": 2})
    assert f"{ADDED}: going on from the state" in cluster.up()
    assert cluster.kubectl.ready()[ADDED] == "True"


def _step_documents(cluster: Cluster, name: str) -> dict[str, str]:
    """The documents of a step, secrets in clear."""
    deployment = cluster.stack.export_stack().deployment or {}
    inputs = next(each["inputs"] for each in deployment["resources"] if each["urn"].endswith(f"::{name}"))
    packed = inputs["stdin"]
    text = json.loads(packed["plaintext"]) if isinstance(packed, dict) else packed
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text))) as tar:
        return {each.name: part.read().decode() for each in tar if (part := tar.extractfile(each))}


@pytest.mark.full
def test_a_destroy_says_within_a_minute_what_stands_in_its_way(cloud: Connection) -> None:
    config = demo.description("dev", name="evidence")
    config["q8s:cluster"]["workers"] = {}
    stack = open_stack("lab-evidence", config)
    stack.up()
    (group,) = cloud.network.security_groups(name="evidence")
    network = next(cloud.network.ports(security_group_ids=[group.id])).network_id
    port = cloud.network.create_port(name="operator", network_id=network, security_groups=[group.id])
    try:
        started = time.monotonic()
        with pytest.raises(automation.CommandError) as stopped:
            stack.destroy()
        assert time.monotonic() - started < 60
        assert f"port operator ({port.id})" in str(stopped.value)
        assert f"openstack port delete {port.id}" in str(stopped.value)
    finally:
        cloud.network.delete_port(port.id)
        stack.destroy(remove=True)
    assert not leftovers(cloud, "evidence")
