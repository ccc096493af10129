"""What an edit costs: the resources that it creates, updates, makes anew and deletes, and no others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pulumi
import pulumi_openstack as openstack
import pytest
from pulumi_command import local

from q8s_infra import rollout
from q8s_infra.components import host, worker
from q8s_infra.plan import plan
from q8s_infra.render.templates import REPOSITORY, render
from q8s_infra.spec import load
from tests.program.recorded import Declared, record, run
from tests.unit import rendered
from tests.unit.certificate import authority
from tests.unit.specs import OF_WORKERS

Names = frozenset[str]
Description = dict[str, Any]
Change = Callable[[Description], None]
Patch = Callable[[pytest.MonkeyPatch], None]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1dCBub3QgYSByZWFsIG9uZSBhdCBhbGw="
OTHER_CLUSTER = (
    "kubernetes",
    *(f"flannel{part}" for part in ("-namespace", "-account", "-role", "-binding", "-settings", "")),
)
"""What is made anew in another cluster: the provider, and with it all objects."""
FIRST = ("", "-port", "-scripts", "-host", "-init", "-identity", "-upgrade")
COMES_BACK = ("-found", "-join", "-node")
"""How a first control plane comes back to the cluster that others are in."""
CONTROL_PLANE = ("", "-port", "-scripts", "-host", "-join", "-node", "-upgrade")
WORKER = ("", "-port", "-scripts", "-host", "-guest", "-node")
GUEST = ("-guest", "-node")
"""What is made anew with a guest: itself and its node."""
ON_A_HOST = ("", "-scripts", "-host", *GUEST)
"""What is made anew with a worker's host; the port stays, and with it the address."""
DEV = ("x86-small-0", "arm-small-0")
MIXED = (
    *(f"gateway-{number}" for number in range(5)),
    *("board-0", "board-1", "board-2", "server-old-0", "server-old-1", "server-new-0", "server-new-1"),
)
"""The workers of the shapes of these names."""


def of(nodes: str | tuple[str, ...], *suffixes: str) -> Names:
    """Names of the resources of a node, or of several."""
    return frozenset(
        f"{node}{suffix}" for node in ([nodes] if isinstance(nodes, str) else nodes) for suffix in suffixes
    )


ARTIFACTS = tuple(f"-{name}-{part}" for name in OF_WORKERS for part in ("payload", "checksums"))
"""What is prepared once for all guests of an architecture, and what it is known by."""
X86_PAYLOAD = of("control-plane-0", "-x86_64-payload")
PAYLOADS = X86_PAYLOAD | of("control-plane-0", "-arm64-payload")
CHECKSUMS = of("control-plane-0", "-x86_64-checksums", "-arm64-checksums")


def opened(cidr: str) -> Names:
    """Names of the rules that let somebody in."""
    return frozenset(f"{what}-{cidr}" for what in ("tcp-22-22", "tcp-2222-2222", "tcp-6443-6443", "icmp"))


BETWEEN_NODES: Final = frozenset(
    f"nodes-{rule}-nodes" for rule in ("udp-8472-8472", "tcp-10250-10250", "tcp-30000-32767", "udp-30000-32767")
) | {
    *("nodes-icmp", "control-planes-tcp-6443-6443-nodes", "control-planes-tcp-9474-9474-nodes"),
    "control-planes-tcp-2379-2380-control-planes",
}


@dataclass(frozen=True)
class Cost:
    """Names of resources, without the cluster's, by what becomes of them."""

    created: Names = frozenset()
    updated: Names = frozenset()
    replaced: Names = frozenset()
    deleted: Names = frozenset()


NOTHING = Cost()
REGISTRY = {"mirror": "https://mirror:5000", "username": "user", "password": "hunter2"}


def put(path: str, value: object) -> Change:
    """Set a field; the fields that lead to it may be missing."""

    def change(description: Description) -> None:
        *parents, last = path.split("/")
        place = description
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value

    return change


def drop(*paths: str) -> Change:
    """Take fields away."""

    def change(description: Description) -> None:
        for path in paths:
            *parents, last = path.split("/")
            place = description
            for parent in parents:
                place = place[parent]
            del place[last]

    return change


def another_type(description: Description) -> None:
    """One more type with two workers."""
    description["nodeTypes"]["big"] = {**description["nodeTypes"]["x86-small"], "cpus": 8}
    description["workers"]["big"] = 2


def leave(description: Description) -> None:
    """No change: the description has what the edit starts from."""


def commented(path: str) -> Patch:
    """A comment at the end of a file of the repository."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        read_text = Path.read_text

        def edited(file: Path, encoding: str | None = None) -> str:
            text = read_text(file, encoding)
            return f"{text}# a comment\n" if file == REPOSITORY / path else text

        monkeypatch.setattr(Path, "read_text", edited)

    return patch


def hosts_user_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment in what hosts boot with."""
    monkeypatch.setattr(host, "render", lambda *name, **values: f"{render(*name, **values)}# a comment\n")


@dataclass(frozen=True)
class Edit:
    """A row of the table.

    Attributes:
        name: what is edited.
        cost: what becomes of which resources.
        change: the edit of the description.
        shape: the shipped description.
        given: what is changed in it beforehand.
        program: the edit of the program.
        why: what the cost is more than, where it is too much.
    """

    name: str
    cost: Cost
    change: Change = leave
    shape: str = "dev"
    given: Change = leave
    program: Patch | None = None
    why: str = ""


X86 = "nodeTypes/x86-small"
RELEASES = "https://cloud-images.ubuntu.com/releases/noble"
SITE_CA = "sources/caCertificates"
ONE_CA, OTHER_CA = (authority(name).pem for name in ("one", "other"))
TRUSTED_ANEW = Cost(updated=of(("control-plane-0", *DEV), "-host") | of(DEV, "-guest"))
NEW_GUEST = Cost(replaced=of("x86-small-0", *GUEST))

EDITS = (
    Edit("nothing", NOTHING),
    Edit(
        "the site's own CA with other line ends",
        NOTHING,
        put(SITE_CA, ONE_CA.replace("\n", "\r\n")),
        given=put(SITE_CA, ONE_CA),
    ),
    # Hosts
    Edit("host image", NOTHING, put("hostImage/name", "ubuntu-26.04")),
    Edit("flavor of control planes", NOTHING, put("controlPlanes/flavor", "c1.large"), "mixed"),
    Edit(
        "flavor of a worker type",
        Cost(replaced=of(("board-0", "board-1", "board-2"), *ON_A_HOST)),
        put("nodeTypes/board/flavor", "c1.huge"),
        "mixed",
    ),
    Edit("subnet named", NOTHING, put("network/subnet", "lan")),
    Edit("another subnet", NOTHING, put("network/subnet", "wlan"), given=put("network/subnet", "lan")),
    Edit("subnet named no more", NOTHING, drop("network/subnet"), given=put("network/subnet", "lan")),
    Edit("availability zone of control planes", NOTHING, put("controlPlanes/availabilityZone", "az-2")),
    Edit("availability zone of a worker type", NOTHING, put(f"{X86}/availabilityZone", "az-2")),
    Edit(
        "another availability zone",
        NOTHING,
        put(f"{X86}/availabilityZone", "az-2"),
        given=put(f"{X86}/availabilityZone", "az-1"),
    ),
    Edit("boot volume of control planes", NOTHING, put("controlPlanes/bootVolume", {"size": "40GiB"})),
    Edit("boot volume of a worker type", NOTHING, put(f"{X86}/bootVolume", {"size": "40GiB"})),
    Edit(
        "another boot volume",
        NOTHING,
        put(f"{X86}/bootVolume", {"size": "80GiB", "type": "ssd"}),
        given=put(f"{X86}/bootVolume", {"size": "40GiB"}),
    ),
    Edit("no boot volume", NOTHING, drop(f"{X86}/bootVolume"), given=put(f"{X86}/bootVolume", {"size": "40GiB"})),
    Edit("config drive", NOTHING, put("configDrive", True)),
    Edit("no config drive", NOTHING, drop("configDrive"), given=put("configDrive", True)),
    Edit("anti-affinity", Cost(created=Names({"server-group"})), put("antiAffinity", "soft"), "mixed"),
    Edit(
        "harder anti-affinity",
        Cost(replaced=Names({"server-group"})),
        put("antiAffinity", "hard"),
        "mixed",
        given=put("antiAffinity", "soft"),
    ),
    Edit(
        "no anti-affinity",
        Cost(deleted=Names({"server-group"})),
        drop("antiAffinity"),
        "mixed",
        given=put("antiAffinity", "soft"),
    ),
    Edit("comment in the hosts' user data", NOTHING, program=hosts_user_data),
    # Guests
    Edit("memory", NEW_GUEST, put(f"{X86}/memory", "3GiB")),
    Edit("the same memory in another unit", NOTHING, put(f"{X86}/memory", "2048MiB")),
    Edit("cpus", NEW_GUEST, put(f"{X86}/cpus", 3)),
    Edit("cpu model", NEW_GUEST, put(f"{X86}/cpuModel", "Nehalem")),
    Edit("disk", NEW_GUEST, put(f"{X86}/disk", "11GiB")),
    Edit("machine", NEW_GUEST, put(f"{X86}/machine", "pc")),
    Edit("the default machine, named", NOTHING, put(f"{X86}/machine", "q35")),
    Edit("qemuArgs", NEW_GUEST, put(f"{X86}/qemuArgs", ["-overcommit", "mem-lock=off"])),
    Edit(
        "guest image's checksum",
        Cost(updated=X86_PAYLOAD | of("control-plane-0", "-x86_64-checksums"), replaced=of("x86-small-0", *GUEST)),
        put("guestImages/x86_64/sha256", "1" * 64),
    ),
    Edit(
        "guest image's url",
        Cost(updated=X86_PAYLOAD),
        put("guestImages/x86_64/url", "http://mirror/amd64.img"),
    ),
    Edit(
        "guest image's url, where Ubuntu signed its checksum",
        Cost(updated=X86_PAYLOAD | of("control-plane-0", "-x86_64-checksums"), replaced=of("x86-small-0", *GUEST)),
        put("guestImages/x86_64/url", f"{RELEASES}/release-20260814/ubuntu-24.04-server-cloudimg-amd64.img"),
        given=drop("guestImages/x86_64/sha256"),
    ),
    # How many there are
    Edit("one more worker", Cost(created=of("gateway-5", *WORKER)), put("workers/gateway", 6), "mixed"),
    Edit("one worker fewer", Cost(deleted=of("board-2", *WORKER)), put("workers/board", 2), "mixed"),
    Edit(
        "no worker of a type",
        Cost(deleted=of("arm-small-0", *WORKER) | of("control-plane-0", "-arm64-payload", "-arm64-checksums")),
        put("workers/arm-small", 0),
    ),
    Edit("one more type", Cost(created=of(("big-0", "big-1"), *WORKER)), another_type),
    Edit(
        "one type fewer",
        Cost(deleted=of(("server-old-0", "server-old-1"), *WORKER)),
        drop("nodeTypes/server-old", "workers/server-old"),
        "mixed",
    ),
    Edit(
        "two control planes for one",
        Cost(
            created=of("control-plane-1", *CONTROL_PLANE) | of("control-plane-0", *COMES_BACK),
            updated=of(DEV, "-host"),
        ),
        put("controlPlanes/count", 2),
    ),
    Edit(
        "three control planes for one",
        Cost(
            created=of(("control-plane-1", "control-plane-2"), *CONTROL_PLANE) | of("control-plane-0", *COMES_BACK),
            updated=of(DEV, "-host"),
        ),
        put("controlPlanes/count", 3),
    ),
    Edit(
        "one control plane for three",
        Cost(
            updated=of(MIXED, "-host"),
            deleted=of(("control-plane-1", "control-plane-2"), *CONTROL_PLANE) | of("control-plane-0", *COMES_BACK),
        ),
        put("controlPlanes/count", 1),
        "mixed",
    ),
    # Nodes
    Edit("label added", Cost(updated=of("x86-small-0", "-node")), put(f"{X86}/labels", {"tier": "cloud"})),
    Edit(
        "label removed",
        Cost(updated=of(("server-new-0", "server-new-1"), "-node")),
        drop("nodeTypes/server-new/labels/tier"),
        "mixed",
    ),
    Edit("taint added", Cost(updated=of("x86-small-0", "-node")), put(f"{X86}/taints", ["tier=edge:NoSchedule"])),
    # Versions
    Edit(
        "kubernetes version",
        Cost(updated=of("control-plane-0", "-host", "-upgrade") | PAYLOADS | CHECKSUMS | of(DEV, *GUEST)),
        put("kubernetes/version", "1.34.5"),
    ),
    Edit(
        "flannel version",
        Cost(updated=PAYLOADS | CHECKSUMS | of(DEV, "-guest") | {"flannel"}),
        put("kubernetes/flannelVersion", "0.26.0"),
    ),
    # For the certificates of the next renewal; the step that brings it does nothing else.
    Edit(
        "how long certificates are valid",
        Cost(updated=of("control-plane-0", "-host")),
        put("kubernetes/certificateValidityPeriod", "90d"),
        "mixed",
    ),
    Edit(
        "certificates as long valid as kubeadm's",
        Cost(updated=of("control-plane-0", "-host")),
        drop("kubernetes/certificateValidityPeriod"),
        given=put("kubernetes/certificateValidityPeriod", "90d"),
    ),
    Edit(
        "kubeadm's period in hours",
        NOTHING,
        put("kubernetes/certificateValidityPeriod", "8760h"),
    ),
    # Who may come, and by which way
    Edit("open port added", Cost(created=Names({"tcp-8080-8080-0.0.0.0/0"})), put("openPorts/tcp", [8080])),
    Edit(
        "open ports for others",
        Cost(created=Names({"udp-53-54-10.1.0.0/16"}), deleted=Names({"udp-53-54-0.0.0.0/0"})),
        put("openPorts/cidr", "10.1.0.0/16"),
        given=put("openPorts/udp", ["53-54"]),
    ),
    Edit(
        "allowedCidrs extended",
        Cost(created=opened("10.1.0.0/16")),
        put("access/allowedCidrs", ["192.168.0.0/24", "10.1.0.0/16"]),
        given=put("access/allowedCidrs", ["192.168.0.0/24"]),
    ),
    Edit(
        "allowedCidrs changed",
        Cost(created=opened("10.1.0.0/16"), deleted=opened("10.0.0.0/8")),
        put("access/allowedCidrs", ["10.1.0.0/16"]),
    ),
    Edit(
        "one more security group",
        Cost(updated=of(("control-plane-0", *DEV), "-port")),
        put("securityGroups", ["monitoring"]),
    ),
    Edit(
        "any traffic between nodes",
        Cost(
            created=Names({"members"}),
            updated=Names({"control-plane-0-port", "in-use"}),
            deleted=BETWEEN_NODES | {"control-planes-group"},
        ),
        put("allowAllInClusterTraffic", True),
    ),
    Edit(
        "only needed traffic between nodes",
        Cost(
            created=BETWEEN_NODES | {"control-planes-group"},
            updated=Names({"control-plane-0-port", "in-use"}),
            deleted=Names({"members"}),
        ),
        drop("allowAllInClusterTraffic"),
        given=put("allowAllInClusterTraffic", True),
    ),
    Edit(
        "tag",
        Cost(updated=of(("control-plane-0", *DEV), "", "-port") | {"group", "control-planes-group"}),
        put("tags", ["q8s", "thesis"]),
    ),
    # What makes another cluster
    Edit(
        "another network",
        Cost(
            updated=of("control-plane-0", "-identity"),
            replaced=(of("control-plane-0", *FIRST) - {"control-plane-0-identity"})
            | PAYLOADS
            | CHECKSUMS
            | of(DEV, *WORKER)
            | Names(OTHER_CLUSTER),
        ),
        put("network/name", "other"),
    ),
    Edit(
        "another first control plane",
        Cost(
            created=of("head", *FIRST, *ARTIFACTS),
            updated=of(DEV, "-host"),
            replaced=of(DEV, *GUEST) | Names(OTHER_CLUSTER),
            deleted=of("control-plane-0", *FIRST, *ARTIFACTS),
        ),
        put("controlPlanes/name", "head"),
    ),
    # Scripts
    Edit(
        "comment in a step's script",
        Cost(updated=of(("control-plane-0", *DEV), "-scripts")),
        program=commented("hostscripts/prepare-worker.sh"),
    ),
    Edit(
        "comment in the library of all steps",
        Cost(updated=of(("control-plane-0", "control-plane-1", "x86-small-0", "arm-mid-0"), "-scripts")),
        shape="prototype",
        program=commented("hostscripts/lib.sh"),
    ),
    Edit(
        "comment in the script that forwards to guests",
        Cost(updated=of(("control-plane-0", *DEV), "-scripts") | of(DEV, "-host")),
        program=commented("hostscripts/q8s-forward.sh"),
    ),
    Edit(
        "comment in the script that keeps pods from the cloud's metadata",
        Cost(updated=of(("control-plane-0", *DEV), "-scripts") | of(("control-plane-0",), "-host")),
        program=commented("hostscripts/q8s-metadata.sh"),
    ),
)

KNOWN_TO_COST_TOO_MUCH = (
    Edit(
        "ssh key added",
        Cost(updated=of(("control-plane-0", *DEV), "-host") | of(DEV, *GUEST)),
        put("access/sshPublicKeys", [KEY]),
        why="a running guest gets its keys by its node's step, and its own step runs again for the next guest's seed",
    ),
    Edit(
        "ssh key removed",
        Cost(updated=of(("control-plane-0", *DEV), "-host") | of(DEV, *GUEST)),
        given=put("access/sshPublicKeys", [KEY]),
        change=drop("access/sshPublicKeys"),
        why="a running guest gets its keys by its node's step, and its own step runs again for the next guest's seed",
    ),
    Edit(
        "hosts reached by a floating IP",
        Cost(
            created=of("control-plane-0", "-floating-ip")
            | {"floating-ip"}
            | {f"nodes-tcp-{port}-{port}-control-planes" for port in (22, 2222)},
            updated=of("control-plane-0", "-scripts", "-host", "-init", "-identity", "-upgrade")
            | PAYLOADS
            | CHECKSUMS
            | of(DEV, "-scripts", "-host", *GUEST)
            | {"kubernetes"},
        ),
        lambda description: description["access"].update(mode="floatingIp", externalNetwork="public"),
        why="a connection is an input of its steps, so each runs again for being reached by another way",
    ),
    Edit(
        "registry mirror",
        Cost(updated=of("control-plane-0", "-host") | PAYLOADS | of(DEV, "-guest")),
        put("sources/registryMirror", "http://mirror:5000"),
        why="a running guest keeps its mirror, and its own step runs again to find that it is there",
    ),
    *(
        Edit(
            name,
            Cost(updated=of("control-plane-0", "-host") | PAYLOADS | of(DEV, "-guest")),
            put("sources/registries", {"ghcr.io": {**REGISTRY, **other}}),
            given=given,
            why="a running guest keeps its registries, and its own step runs again to find that it is there",
        )
        for name, other, given in (
            ("registry with a password", {}, leave),
            ("a registry's other password", {"password": "other"}, put("sources/registries", {"ghcr.io": REGISTRY})),
        )
    ),
    Edit(
        "http proxy",
        Cost(updated=of(("control-plane-0", *DEV), "-host") | PAYLOADS | of(DEV, "-guest")),
        put("proxy/http", "http://proxy:3128"),
        given=put("network/cidr", "10.254.1.0/24"),
        why="a running guest keeps its proxies, and its own step runs again to find that it is there",
    ),
    *(
        Edit(
            name,
            TRUSTED_ANEW,
            change,
            given=given,
            why="a running guest keeps the authorities that it trusts, and its own step runs again to find that it is "
            "there",
        )
        for name, change, given in (
            ("the site's own CA", put(SITE_CA, ONE_CA), leave),
            ("another CA of the site", put(SITE_CA, OTHER_CA), put(SITE_CA, ONE_CA)),
            ("one more CA of the site", put(SITE_CA, ONE_CA + OTHER_CA), put(SITE_CA, ONE_CA)),
            ("no CA of the site any more", drop(SITE_CA), put(SITE_CA, ONE_CA)),
        )
    ),
    Edit(
        "guestTimeoutMinutes",
        Cost(updated=of(DEV, "-node")),
        put("guestTimeoutMinutes", 45),
        why="how long to wait is for nodes to come, and those that are Ready are awaited again",
    ),
    Edit(
        "ignorePreflightErrors",
        Cost(
            updated=of("control-plane-0", "-init", "-upgrade") | of("control-plane-1", "-join", "-upgrade"),
        ),
        put("kubernetes/ignorePreflightErrors", ["Swap"]),
        "prototype",
        why="kubeadm's checks are done on nodes that have joined, and their steps run again for nothing",
    ),
    Edit(
        "comment in a guest's script",
        Cost(updated=of(DEV, "-guest")),
        program=commented("cloudinit/guest/q8s-join.sh"),
        why="the script has done its work in a guest that is there, and its step runs again to find that",
    ),
)


def described(shape: str, *changes: Change) -> Description:
    """A shipped description, changed."""
    description: Description = copy.deepcopy(rendered.shipped(shape))
    for change in changes:
        change(description)
    return description


def stack(
    config: Mapping[str, Any], shape: str, keys: str, before: Mapping[str, Declared] | None = None
) -> dict[str, Declared]:
    """The stack that a configuration leaves."""
    return run(plan(load(config, shape, base=REPOSITORY)), keys, before)[0].declared


@cache
def shipped(shape: str, keys: str, given: Change) -> dict[str, Declared]:
    """The stack of a shipped description."""
    return stack({"cluster": described(shape, given)}, shape, keys)


def cost(before: Mapping[str, Declared], after: Mapping[str, Declared], cluster: str) -> Cost:
    """What became of the resources; components are none."""
    names: dict[str, set[str]] = {"created": set(), "updated": set(), "replaced": set(), "deleted": set()}
    for key, found in {**before, **after}.items():
        done = found.done if key in after else "component" if found.done == "component" else "deleted"
        # What does not exist is only taken out of the state.
        if done in names and not (done == "deleted" and (found.lost or found.pending)):
            names[done].add(found.name.removeprefix(f"{cluster}-"))
    return Cost(**{done: Names(found) for done, found in names.items()})


@pytest.mark.parametrize("edit", [*EDITS, *KNOWN_TO_COST_TOO_MUCH], ids=lambda edit: edit.name)
def test_an_edit(edit: Edit, keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shipped(edit.shape, keys, edit.given)
    if edit.program:
        edit.program(monkeypatch)
    after = stack({"cluster": described(edit.shape, edit.given, edit.change)}, edit.shape, keys, before)
    assert cost(before, after, edit.shape) == edit.cost


def cost_of_a_lost_first(shape: str, keys: str) -> Cost:
    """What it costs that the instance of the first control plane is gone, and known to be."""
    first = f"Instance {shape}-control-plane-0"
    before = {key: replace(each, lost=key == first) for key, each in shipped(shape, keys, leave).items()}
    return cost(before, stack({"cluster": described(shape)}, shape, keys, before), shape)


def test_a_lost_first_control_plane_comes_back_to_its_cluster(keys: str) -> None:
    assert cost_of_a_lost_first("mixed", keys) == Cost(
        created=of("control-plane-0", ""),
        # The administrator's kubeconfig is another one for the same cluster, and the next guests come from other disks.
        updated=of("control-plane-0", "-identity") | of(MIXED, "-guest") | {"kubernetes"},
        replaced=of("control-plane-0", "-scripts", "-host", "-init", "-upgrade", *COMES_BACK, *ARTIFACTS),
    )


def test_a_lost_only_control_plane_takes_its_cluster_with_it(keys: str) -> None:
    assert cost_of_a_lost_first("dev", keys) == Cost(
        created=of("control-plane-0", ""),
        updated=of("control-plane-0", "-identity"),
        replaced=of("control-plane-0", "-scripts", "-host", "-init", "-upgrade", *ARTIFACTS)
        | of(DEV, *GUEST)
        | Names(OTHER_CLUSTER),
    )


def test_a_worker_that_goes_before_its_node_was_ready_leaves_the_cluster(keys: str) -> None:
    fewer = put("workers/board", 2)
    before = {key: each for key, each in shipped("mixed", keys, leave).items() if each.name != "mixed-board-2-node"}
    after = stack({"cluster": described("mixed", fewer)}, "mixed", keys, before)
    assert cost(before, after, "mixed") == Cost(
        created=of("board-2", "-leaves"), deleted=of("board-2", "", "-port", "-scripts", "-host", "-guest")
    )
    (left,) = (each for each in after.values() if each.name.endswith("-leaves"))
    assert "remove-node 3600 mixed-board-2 Kubernetes" in left.inputs["create"]
    again = stack({"cluster": described("mixed", fewer)}, "mixed", keys, after)
    assert cost(after, again, "mixed") == Cost(deleted=of("board-2", "-leaves"))


@pytest.mark.parametrize(
    ("edit", "at_once", "waiting"),
    [
        ("memory", 1, {"board-1-guest": "board-0-node", "board-2-guest": "board-1-node"}),
        ("memory", 2, {"board-2-guest": "board-0-node"}),
        (
            "flavor",
            1,
            {
                **{f"board-1{part}": "board-0-node" for part in ("", "-guest")},
                **{f"board-2{part}": "board-1-node" for part in ("", "-guest")},
            },
        ),
        ("labels", 1, {}),
    ],
)
def test_a_changed_type_is_rolled(edit: str, at_once: int, waiting: dict[str, str], keys: str) -> None:
    values = {"memory": "3GiB", "flavor": "c1.huge", "labels": {"tier": "edge"}}
    pace = put("nodeTypes/board/maxUnavailable", at_once)
    before = shipped("mixed", keys, pace)
    after = stack(
        {"cluster": described("mixed", pace, put(f"nodeTypes/board/{edit}", values[edit]))}, "mixed", keys, before
    )
    found = {
        name.removeprefix("mixed-"): waits_for.removeprefix("mixed-")
        for name, waits_for in ((it.name, node) for it in after.values() for node in it.after)
        if waits_for.endswith("-node") and not name.startswith("mixed-control-plane")
    }
    assert found == waiting


def test_a_version_comes_to_control_planes_before_workers_and_to_one_after_the_other(keys: str) -> None:
    before = shipped("mixed", keys, leave)
    after = stack({"cluster": described("mixed", put("kubernetes/version", "1.34.5"))}, "mixed", keys, before)
    waits = {
        it.name.removeprefix("mixed-"): {name.removeprefix("mixed-") for name in it.after} for it in after.values()
    }
    assert "control-plane-0-upgrade" in waits["control-plane-1-upgrade"] | waits["control-plane-1-join"]
    assert "control-plane-1-upgrade" in waits["control-plane-2-upgrade"]
    for worker_name in MIXED:
        for part in GUEST:
            assert "control-plane-2-upgrade" in waits[f"{worker_name}{part}"]
    assert {"board-0-node", "board-1-node"} & waits["board-2-node"] == {"board-1-node"}
    assert not {"board-0-node", "board-1-node"} & waits["board-2-guest"]
    # In no other run does a guest wait for that: it boots while further control planes join.
    assert not any("control-plane-2-upgrade" in it.after for it in before.values() if it.name.endswith(GUEST))


def test_workers_that_are_made_anew_in_a_run_that_upgrades_go_after_control_planes(keys: str) -> None:
    version = put("kubernetes/version", "1.34.5")
    before = shipped("mixed", keys, leave)
    for field, value, anew in (("memory", "3GiB", GUEST), ("flavor", "c1.huge", ON_A_HOST)):
        edited = described("mixed", version, put(f"nodeTypes/board/{field}", value))
        after = stack({"cluster": edited}, "mixed", keys, before)
        found = {it.name.removeprefix("mixed-"): it for it in after.values() if it.done != "component"}
        waits = {name: {each.removeprefix("mixed-") for each in it.after} for name, it in found.items()}
        boards = ("board-0", "board-1", "board-2")
        assert {name for name, it in found.items() if it.done == "replaced"} == of(boards, *anew)
        # What of a worker goes first takes its node away: not while an API server starts anew.
        for board in boards:
            for part in {anew[0], "-guest"}:
                assert "control-plane-2-upgrade" in waits[f"{board}{part}"]
        for board, former in (("board-1", "board-0"), ("board-2", "board-1")):
            assert f"{former}-node" in waits[f"{board}{anew[0]}"]
            # Nothing is upgraded that is about to go: a node awaits its new guest.
            assert found[f"{board}-node"].inputs["triggers"] == [found[f"{board}-guest"].id]


def test_what_costs_too_much_says_why() -> None:
    assert all(edit.why for edit in KNOWN_TO_COST_TOO_MUCH)
    assert not any(edit.why for edit in EDITS)


def test_a_prototypes_file_is_the_same_cluster(keys: str) -> None:
    both = ("access", "guestImages")
    ports = [22, 80, 443, 2222, 2379, 2380, 6443, 8472, 10250, 10256, 10257, 10259, "30000-32767"]
    ours = described(
        "prototype",
        put("network", {"id": "00000000-0000-4000-8000-000000000000", "cidr": "10.254.1.0/24"}),
        put("controlPlanes/name", "q8s-first"),
        put("openPorts", {"tcp": ports, "udp": [8472], "cidr": "10.254.1.0/24"}),
    )
    beside = {field: ours[field] for field in both}
    before = stack({"cluster": ours}, "prototype", keys)
    after = stack({"cluster": beside, "clusterFile": "clusters/prototype.yaml"}, "prototype", keys, before)
    assert cost(before, after, "prototype") == NOTHING


def another_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step's command line."""
    monkeypatch.setattr(worker, "DRAIN_SECONDS", 60)


def another_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guests and what hangs on them."""
    monkeypatch.setattr(rollout, "GUEST_FORMAT", rollout.GUEST_FORMAT + 1)


def another_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step under another name."""
    run_step = worker.run
    monkeypatch.setattr(
        worker, "run", lambda name, *args, **options: run_step(name.replace("-host", "-box"), *args, **options)
    )


def no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances without what they ignore and what makes them anew, and another user data."""
    instance = openstack.compute.Instance
    monkeypatch.setattr(
        openstack.compute,
        "Instance",
        lambda resource, opts, **inputs: instance(resource, **inputs, opts=pulumi.ResourceOptions(parent=opts.parent)),
    )
    hosts_user_data(monkeypatch)


@pytest.mark.parametrize(
    ("plant", "seen"),
    [
        (another_argument, Cost(updated=of(DEV, "-node"))),
        (another_trigger, Cost(replaced=of(DEV, *GUEST))),
        (another_resource, Cost(created=of(DEV, "-box"), deleted=of(DEV, "-host"))),
        (
            no_options,
            Cost(
                updated=of("control-plane-0", "-identity"),
                replaced=of("control-plane-0", "", "-scripts", "-host", "-init", "-upgrade", *ARTIFACTS)
                | of(DEV, *ON_A_HOST)
                | Names(OTHER_CLUSTER),
            ),
        ),
    ],
    ids=lambda it: it.__name__ if callable(it) else "is seen",
)
def test_a_change_of_the_program_is_seen(plant: Patch, seen: Cost, keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shipped("dev", keys, leave)
    plant(monkeypatch)
    after = stack({"cluster": described("dev")}, "dev", keys, before)
    assert cost(before, after, "dev") == seen


def test_what_hangs_on_something_that_goes_first_is_made_anew() -> None:
    def program(flavor: str) -> Callable[[], None]:
        def declare() -> None:
            options = pulumi.ResourceOptions(delete_before_replace=True, replace_on_changes=["flavorName"])
            instance = openstack.compute.Instance("box", flavor_name=flavor, opts=options)
            local.Command("same", triggers=[instance.id.apply(lambda _: "always the same")])
            local.Command("other", environment={"ID": instance.id.apply(lambda _: "always the same")})

        return declare

    before = record(program("small")).declared
    after = record(program("large"), before=before).declared
    assert cost(before, after, "") == Cost(replaced=Names({"box", "same"}))
