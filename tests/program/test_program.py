"""The program on mocks: which resources it declares, what hangs on what, and where its secrets go."""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import rpc

from q8s_infra.components.host import ipv4
from q8s_infra.hostkeys import certificate_key, join_token, states_key, states_public_key
from q8s_infra.plan import ClusterPlan, plan
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import load
from q8s_infra.spec.load import merged
from tests.program.recorded import KUBECONFIG, ca_cert_hash, run
from tests.program.rules import COMMAND, FLOATING_IP, INSTANCE, PORT, SERVER_GROUP
from tests.unit import rendered
from tests.unit.specs import OF_WORKERS

JOINING = ["prototype-control-plane-1", "prototype-control-plane-1-id", ca_cert_hash("prototype-control-plane-0", 1)]
"""What the second control plane of the prototype is made of."""


def shape(name: str) -> ClusterPlan:
    """The plan of a shipped stack."""
    return rendered.planned(name)


@pytest.mark.parametrize("name", ["dev", "prototype", "mixed"])
def test_the_graph_of_a_shape(name: str, keys: str) -> None:
    planned = shape(name)
    recorder, _ = run(planned, keys)
    control_planes, workers = len(planned.control_planes), len(planned.workers)
    counts = Counter(each.type for each in recorder.declared.values())
    assert counts["openstack:compute/instance:Instance"] == control_planes + workers
    assert counts["openstack:networking/port:Port"] == control_planes + workers
    assert counts["openstack:compute/keypair:Keypair"] == 1
    groups = {"nodes": f"{planned.name}-group-id", "control planes": f"{planned.name}-control-planes-group-id"}
    for node in (*planned.control_planes, *planned.workers):
        of_it = [*groups.values()][: 1 + (node in planned.control_planes)]
        assert recorder.declared[f"Port {node.name}-port"].inputs["securityGroupIds"][: len(of_it)] == of_it
    # The first prepares, initialises and says which cluster it is; a further one prepares, joins and is awaited; where
    # one is, the first looks for their cluster, to join it and be awaited; for each architecture a payload is made and
    # known by its checksum; a worker has three steps.
    payloads = 2 * len(planned.architectures)
    assert counts[COMMAND] == 4 + 4 * (control_planes - 1) + 3 * (control_planes > 1) + payloads + 3 * workers
    assert counts["q8s:index:Worker"] == workers
    for worker in planned.workers:
        instance = recorder.declared[f"Instance {worker.name}"].inputs
        assert instance["flavorName"] == worker.node_type.flavor
        assert instance["networks"] == [{"port": f"{worker.name}-port-id"}]
        guest = rpc.unwrap_rpc_secret(recorder.declared[f"Command {worker.name}-guest"].inputs["triggers"])
        assert guest[0] == f"{worker.name}-id"
        node = rpc.unwrap_rpc_secret(recorder.declared[f"Command {worker.name}-node"].inputs["triggers"])
        assert node == [f"{worker.name}-guest-id"]


def spoken(value: Any, *, secrets: bool = False) -> Iterator[str]:
    """All strings in a value, those marked secret only where asked for."""
    if rpc.is_rpc_secret(value):
        if secrets:
            yield from spoken(rpc.unwrap_rpc_secret(value), secrets=True)
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from spoken(each, secrets=secrets)


def secrets_of(keys: str) -> dict[str, str]:
    """What must not be seen, by its name."""
    made = json.loads(keys)
    joining = made["hostKeySeed"], json.dumps(JOINING)
    return {
        # A line of it, which is the same however the whole is indented or escaped.
        "private key": made["privateKey"].splitlines()[2],
        "seed of host keys": made["hostKeySeed"],
        "token": join_token(*joining),
        "certificate key": certificate_key(*joining),
        "kubeconfig": KUBECONFIG,
    }


def unpacked(archive: str) -> str:
    """The documents that a step gets on its stdin."""
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive))) as tar:
        return "\n".join(tar.extractfile(member).read().decode() for member in tar)  # type: ignore[union-attr]


def test_no_secret_is_an_input_in_clear(keys: str) -> None:
    recorder, _ = run(shape("prototype"), keys)
    hidden = ""
    for declared in recorder.declared.values():
        text = "\n".join(spoken(declared.inputs))
        hidden += "\n".join(spoken(declared.inputs, secrets=True))
        for what, secret in secrets_of(keys).items():
            assert secret not in text, f"{what} in {declared.name}"
    # What is looked for is really there, behind its mark.
    for what in ("private key", "kubeconfig"):
        assert secrets_of(keys)[what] in hidden


def test_no_secret_is_in_a_command_line_even_as_a_secret(keys: str) -> None:
    recorder, _ = run(shape("prototype"), keys)
    commands = [each for each in recorder.declared.values() if each.type == COMMAND]
    carried = ""
    for declared in commands:
        given = {name: rpc.unwrap_rpc_secret(value) for name, value in declared.inputs.items()}
        line = f"{given['create']} {given.get('delete')} {given.get('triggers')} {given.get('environment')}"
        for what, secret in secrets_of(keys).items():
            assert secret not in line, f"{what} in the command line of {declared.name}"
        assert rpc.is_rpc_secret(declared.inputs["stdin"])
        carried += unpacked(given["stdin"])
    # They go by stdin: the test looks for what is really on its way.
    for what in ("token", "certificate key"):
        assert secrets_of(keys)[what] in carried


def carriers(description: dict[str, Any], keys: str, *secrets: str) -> set[str]:
    """The prototype's steps that have these words in their documents; nothing else has them, and no command line."""
    whole = merged(rendered.shipped("prototype"), description)
    recorder, _ = run(plan(load({"cluster": whole}, "prototype", base=REPOSITORY)), keys)
    carry = set()
    for declared in recorder.declared.values():
        assert not any(secret in "\n".join(spoken(declared.inputs)) for secret in secrets), declared.name
        if declared.type == COMMAND:
            given = {name: rpc.unwrap_rpc_secret(value) for name, value in declared.inputs.items()}
            assert not any(secret in str({**given, "stdin": ""}) for secret in secrets), declared.name
            documents = unpacked(given["stdin"])
            written = [base64.b64decode(word).decode() for word in re.findall(r"content: (\S+)", documents)]
            if any(secret in "\n".join([documents, *written]) for secret in secrets):
                carry.add(declared.name.removeprefix("prototype-"))
    return carry


WORKERS = {"x86-small-0", "arm-mid-0"}
PAYLOADS = {f"control-plane-0-{name}-payload" for name in OF_WORKERS}


def test_only_the_first_control_plane_gets_the_key_that_signs_states(keys: str) -> None:
    seed = json.loads(keys)["hostKeySeed"]
    assert carriers({}, keys, states_key(seed).splitlines()[1]) == PAYLOADS
    guests = {f"{name}-guest" for name in WORKERS}
    assert carriers({}, keys, states_public_key(seed).splitlines()[1]) == guests


def test_a_worker_gets_no_other_ones_credential_for_states(keys: str) -> None:
    recorder, _ = run(shape("prototype"), keys)
    found = []
    for name, declared in recorder.declared.items():
        if name.startswith("Command ") and name.endswith("-guest"):
            documents = unpacked(rpc.unwrap_rpc_secret(declared.inputs["stdin"]))
            found += re.findall(r"^[0-9a-f]{32}\n[0-9a-f]{64}$", documents, re.MULTILINE)
    assert len(found) == len(set(found)) == len(WORKERS)


def test_a_proxy_s_password_goes_to_those_who_download_and_never_to_kubeadm(keys: str) -> None:
    proxy = {"http": "http://user:hunter2@proxy:3128"}
    hosts = {f"{name}-host" for name in ("control-plane-0", "control-plane-1", *WORKERS)}
    carry = carriers({"proxy": proxy, "network": {"cidr": "10.254.1.0/24"}}, keys, "hunter2")
    assert carry == hosts | PAYLOADS | {f"{name}-guest" for name in WORKERS}


def test_a_registry_s_password_goes_to_those_who_pull_images(keys: str) -> None:
    registries = {"ghcr.io": {"mirror": "https://mirror", "username": "user", "password": "hunter2"}}
    encoded = base64.b64encode(b"user:hunter2").decode()
    carry = carriers({"sources": {"registries": registries}}, keys, "hunter2", encoded)
    assert carry == {f"control-plane-{at}-host" for at in (0, 1)} | PAYLOADS | {f"{name}-guest" for name in WORKERS}


def test_results_that_are_secrets_are_declared_so(keys: str) -> None:
    recorder, cluster = run(shape("dev"), keys)
    assert rpc.is_rpc_secret(recorder.declared["kubernetes dev-kubernetes"].inputs["kubeconfig"])
    instance = recorder.declared["Instance dev-x86-small-0"].inputs
    assert rpc.is_rpc_secret(instance["userData"])
    assert _is_secret(cluster.kubeconfig)
    assert not _is_secret(cluster.endpoint)


def _is_secret(output: pulumi.Output[Any]) -> bool:
    found: list[bool] = []

    @pulumi.runtime.test
    async def look() -> None:
        found.append(await output.is_secret())

    look()
    return found[0]


@pytest.mark.parametrize("mode", ["direct", "floatingIp", "bastion"])
def test_a_bastion_leads_to_the_api_server_and_nothing_else_changes(mode: str, keys: str, tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    bastion = {"host": "jump", "user": "me", "privateKeyFile": str(tmp_path / "key"), "hostKey": rendered.LOGIN}
    further = {"floatingIp": {"externalNetwork": "public"}, "bastion": {"bastion": {**bastion, "localPort": 20000}}}
    config = rendered.shipped("dev")
    config["access"].update({"mode": mode, **further.get(mode, {})})
    recorder, _ = run(plan(load({"cluster": config}, "dev", base=REPOSITORY)), keys)
    given = rpc.unwrap_rpc_secret(recorder.declared["kubernetes dev-kubernetes"].inputs["kubeconfig"])
    assert rpc.unwrap_rpc_secret(recorder.registered["Cluster dev"]["kubeconfig"]) == given

    (step,) = (each for each in recorder.declared.values() if each.name == "dev-control-plane-0-init")
    printed = json.loads(step.outputs["stdout"])["kubeconfig"]
    leads_to = "FloatingIpAssociate dev-control-plane-0-floating-ip" if mode == "floatingIp" else ""
    port = recorder.declared["Port dev-control-plane-0-port"].outputs["allFixedIps"][1]
    address = recorder.declared[leads_to].outputs["floatingIp"] if leads_to else port
    expected = re.sub(r"https://[^:]+:6443", f"https://{address}:6443", printed)
    if mode != "bastion":
        assert given == expected
        return
    document = yaml.safe_load(expected)
    document["clusters"][0]["cluster"]["proxy-url"] = "socks5://127.0.0.1:20000"
    assert yaml.safe_load(given) == document


def test_one_floating_address_leads_to_all_hosts(keys: str) -> None:
    config = rendered.shipped("mixed")
    config["access"].update(mode="floatingIp", externalNetwork="public")
    planned = plan(load({"cluster": config}, "mixed", base=REPOSITORY))
    declared = run(planned, keys)[0].declared
    (floating,) = (each for each in declared.values() if each.type == FLOATING_IP)
    first, *others = (node.name for node in planned.nodes)

    def way(name: str) -> tuple[str, str]:
        """Where a host's steps connect to, and through what."""
        connection = rpc.unwrap_rpc_secret(declared[f"Command {name}-host"].inputs["connection"])
        proxy = connection.get("proxy") or {}
        return rpc.unwrap_rpc_secret(connection["host"]), rpc.unwrap_rpc_secret(proxy.get("host", ""))

    assert way(first) == (floating.outputs["address"], "")
    for name in others:
        assert way(name) == (declared[f"Port {name}-port"].outputs["allFixedIps"][1], floating.outputs["address"])


@pytest.mark.parametrize(
    ("subnet", "declared"),
    [
        (None, None),
        ("lan", [{"subnetId": "id of lan"}]),
        ("0f3e2d1c-0000-4000-8000-000000000000", [{"subnetId": "0f3e2d1c-0000-4000-8000-000000000000"}]),
    ],
)
def test_ports_have_their_address_from_the_subnet_that_is_named(
    subnet: str | None, declared: list[dict[str, str]] | None, keys: str
) -> None:
    description = merged(rendered.shipped("dev"), {"network": {"subnet": subnet}})
    recorder, _ = run(plan(load({"cluster": description}, "dev", base=REPOSITORY)), keys)
    ports = [each for each in recorder.declared.values() if each.type == PORT]
    assert [each.inputs.get("fixedIps") for each in ports] == [declared] * 3


def test_a_port_without_an_ipv4_address_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match="node demo-0, layer OpenStack: its port has no IPv4 address"):
        ipv4("demo-0", ["fd00::5"])


def instances(description: dict[str, Any], keys: str) -> dict[str, dict[str, Any]]:
    """The inputs of the instances of a description that is laid over the prototype's."""
    config = merged(rendered.shipped("prototype"), description)
    recorder, _ = run(plan(load({"cluster": config}, "prototype", base=REPOSITORY)), keys)
    return {
        each.name.removeprefix("prototype-"): each.inputs
        for each in recorder.declared.values()
        if each.type == INSTANCE
    }


def test_instances_are_where_the_description_wants_them(keys: str) -> None:
    zoned = instances(
        {
            "controlPlanes": {"availabilityZone": "az-1"},
            "nodeTypes": {"x86-small": {"availabilityZone": "az-2"}},
            "configDrive": False,
            "antiAffinity": "soft",
        },
        keys,
    )
    assert {name: each.get("availabilityZone") for name, each in zoned.items()} == {
        "control-plane-0": "az-1",
        "control-plane-1": "az-1",
        "x86-small-0": "az-2",
        "arm-mid-0": None,
    }
    assert [each["configDrive"] for each in zoned.values()] == [False] * 4
    group = [{"group": "prototype-server-group-id"}]
    assert {name for name, each in zoned.items() if each.get("schedulerHints") == group} == {
        "control-plane-0",
        "control-plane-1",
    }


def test_instances_boot_from_volumes_where_they_are_described(keys: str) -> None:
    found = instances(
        {
            "controlPlanes": {"bootVolume": {"size": "40GiB", "type": "ssd"}},
            "nodeTypes": {"x86-small": {"bootVolume": {"size": "60GiB"}}},
        },
        keys,
    )
    image = found["arm-mid-0"]["imageId"]
    (volume,) = found["control-plane-0"]["blockDevices"]
    assert volume == {
        "sourceType": "image",
        "uuid": image,
        "destinationType": "volume",
        "volumeSize": 40,
        "volumeType": "ssd",
        "bootIndex": 0,
        "deleteOnTermination": True,
    }
    assert found["x86-small-0"]["blockDevices"][0]["volumeSize"] == 60
    assert [name for name, each in found.items() if "imageId" in each] == ["arm-mid-0"]
    assert "blockDevices" not in found["arm-mid-0"]


@pytest.mark.parametrize(("wanted", "policy"), [("soft", "soft-anti-affinity"), ("hard", "anti-affinity")])
def test_the_server_group_of_control_planes(wanted: str, policy: str, keys: str) -> None:
    config = merged(rendered.shipped("prototype"), {"antiAffinity": wanted})
    declared = run(plan(load({"cluster": config}, "prototype", base=REPOSITORY)), keys)[0].declared
    (group,) = (each for each in declared.values() if each.type == SERVER_GROUP)
    assert group.inputs == {"name": f"prototype-{policy}", "policies": policy}


def test_what_is_not_described_is_not_declared(keys: str) -> None:
    for inputs in instances({}, keys).values():
        assert not {"availabilityZone", "blockDevices", "configDrive", "schedulerHints"} & inputs.keys()
