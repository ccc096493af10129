"""Nodes, logins, keys and versions that could not become what is described: refused by their field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from q8s_infra.spec import ClusterSpec, validated
from tests.unit.malformed import Row, checked, identified, refused_row
from tests.unit.specs import GOOD, PROTOTYPE, spoiled

X86 = "nodeTypes/x86"
ARM = {**GOOD["nodeTypes"]["arm"], "cpus": 1}
S390 = {**ARM, "architecture": "s390x", "cpus": 249}
BASTION = {"host": "b", "user": "u", "privateKeyFile": "k", "hostKey": "ssh-rsa AAAA"}
A_NAME = "must be 1 to 63 letters a to z, digits and '-'"
A_KEY = "an SSH public key is one line of a .pub file"
A_HOST_KEY = "a host key is its type"
A_VERSION = "without a v before them, and no alpha, beta or release candidate"
OLD = "1.31 or later: this program's documents"
KUBELETS = "is set by kubelet itself, which would overwrite it"


def labels(key: str, words: str, value: object = "x") -> Row:
    return (f"{X86}/labels", {key: value}, f"nodeTypes.x86.labels.{key}", words)


def taints(words: str, *given: str) -> Row:
    return (f"{X86}/taints", [*given], f"nodeTypes.x86.taints.{len(given) - 1}", words)


def arguments(words: str, *given: str, at: int = 0) -> Row:
    return (f"{X86}/qemuArgs", [*given], f"nodeTypes.x86.qemuArgs.{at}", words)


OURS: list[Row] = [
    ("nodeTypes/arm_small", ARM, "nodeTypes.arm_small", A_NAME),
    ("nodeTypes/ARM", ARM, "nodeTypes.ARM", A_NAME),
    ("controlPlanes/name", "first\n", "controlPlanes.name", A_NAME),
    ("controlPlanes/name", "localhost", "controlPlanes.name", "is every machine's name for itself"),
    ("workers", {"x86": 10**30}, "workers.x86", "Input should be less than or equal to 5000"),
    ("nodeTypes/z", S390, "nodeTypes.z.cpus", "a machine of s390x has 248 CPUs at most"),
    (f"{X86}/memory", "2TiB", "nodeTypes.x86.memory", "at most 1TiB"),
    (f"{X86}/memory", "1GB", "nodeTypes.x86.memory", "at least 1GiB, for a system with kubelet"),
    (f"{X86}/disk", f"{'9' * 24}TiB", "nodeTypes.x86.disk", "at most 64TiB"),
    (f"{X86}/disk", "4GB", "nodeTypes.x86.disk", "at least 4GiB, for a cloud image"),
    (f"{X86}/bootVolume", {"size": "65TiB"}, "nodeTypes.x86.bootVolume.size", "at most 64TiB"),
    labels("q8s.io/node-type", "labels that begin with q8s.io/ are set by this program"),
    labels("q8s.io/rack", "labels that begin with q8s.io/ are set by this program"),
    labels("kubernetes.io/arch", KUBELETS),
    labels("kubernetes.io/os", KUBELETS),
    labels("kubernetes.io/hostname", KUBELETS),
    labels("beta.kubernetes.io/arch", KUBELETS),
    labels("node.kubernetes.io/instance-type", KUBELETS),
    labels("node-role.kubernetes.io/control-plane", "is what control planes are known by"),
    labels("a..b/tier", "and the prefix a domain in lower case"),
    labels(f"{'a.' * 130}b/tier", "and the prefix a domain in lower case"),
    labels("version", "write it in quotes, as 1.10 without them is 1.1", 1.1),
    labels("tier", "a label's value is of letters, digits", "a\n"),
    taints("edge=no:NoSchedule has the key and the effect of edge=yes", "edge=yes:NoSchedule", "edge=no:NoSchedule"),
    taints("has the key and the effect of edge:NoExecute", "a:NoExecute", "edge:NoExecute", "edge:NoExecute"),
    taints("taints that begin with q8s.io/ are this program's own", "q8s.io/edge:NoSchedule"),
    taints("is set and removed by Kubernetes' own controllers", "node.kubernetes.io/not-ready:NoSchedule"),
    taints("a taint is key[=value]:effect", "edge=a=b:NoSchedule"),
    arguments("the number of CPUs is the field cpus", "-smp", "8"),
    arguments("the memory is the field memory", "-m", "4G"),
    arguments("the memory is the field memory", "-d", "int", "--m", "4G", at=2),
    arguments("guests are always emulated", "-accel", "kvm"),
    arguments("guests are always emulated", "-enable-kvm"),
    arguments("libvirt starts QEMU", "-daemonize"),
    arguments("the guest would wait for a migration", "-incoming", "defer"),
    arguments("all that the guest writes would be lost", "-snapshot"),
    arguments("QEMU would take it for a disk image", "edge.img"),
    arguments("has characters that cannot be printed", "-d", "a\0b", at=1),
    ("access/user", "first.last", "access.user", "a login is letters a to z, digits, '-' and '_'"),
    ("access/user", "debian\n", "access.user", "a login is letters a to z, digits, '-' and '_'"),
    ("access/user", True, "access.user", "must be text: YAML reads it as true or false, write it in quotes"),
    ("access/user", 1e3, "access.user", "must be text: YAML reads it as a number, write it in quotes"),
    ("access/user", None, "access.user", "must be text"),
    ("access/sshPublicKeys", ["ssh-dss AAAA"], "access.sshPublicKeys.0", A_KEY),
    ("access/sshPublicKeys", ['from="10.0.0.1" ssh-rsa AAAA'], "access.sshPublicKeys.0", A_KEY),
    ("access/sshPublicKeys", ["ssh-rsa"], "access.sshPublicKeys.0", A_KEY),
    ("access/sshPublicKeys", ["ssh-rsa AAAA a\0b"], "access.sshPublicKeys.0", A_KEY),
    ("access/sshPublicKeys", ["ssh-rsa AAAA a\u2028b"], "access.sshPublicKeys.0", A_KEY),
    ("access/sshPublicKeys", ["ssh-rsa AAAA \U0001f511"], "access.sshPublicKeys.0", A_KEY),
    (
        "access/sshPublicKeys",
        ["-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA"],
        "access.sshPublicKeys.0",
        "is a private key: give the public one",
    ),
    ("access", {"mode": "bastion", "bastion": BASTION}, "access.allowedCidrs", "is empty, so the hosts could not be"),
    ("access/bastion", {**BASTION, "hostKey": "bastion ssh-rsa AAAA"}, "access.bastion.hostKey", A_HOST_KEY),
    ("access/bastion", {**BASTION, "hostKey": "@cert-authority * ssh-rsa A"}, "access.bastion.hostKey", A_HOST_KEY),
    ("access/bastion", {**BASTION, "hostKey": "SHA256:abc"}, "access.bastion.hostKey", A_HOST_KEY),
    ("access/bastion", {**BASTION, "host": "me@bastion"}, "access.bastion.host", "a host is its name or address alone"),
    ("access/bastion", {**BASTION, "host": "ssh://b"}, "access.bastion.host", "a host is its name or address alone"),
    ("access/bastion", {**BASTION, "host": "-oProxy"}, "access.bastion.host", "a host is its name or address alone"),
    ("kubernetes/version", "1.30.14", "kubernetes.version", OLD),
    ("kubernetes/version", "0.99.0", "kubernetes.version", OLD),
    ("kubernetes/version", "1.9.9", "kubernetes.version", OLD),
    ("kubernetes/version", "1.34", "kubernetes.version", A_VERSION),
    ("kubernetes/version", "1.35.0-rc.1", "kubernetes.version", A_VERSION),
    ("kubernetes/version", "1.34.04", "kubernetes.version", A_VERSION),
    ("kubernetes/version", "1.34.4\n", "kubernetes.version", A_VERSION),
    ("tags", ["a\nb"], "tags.0", "a tag is 1 to 60 characters"),
    ("tags", [str(number) for number in range(51)], "tags", "must have 50 at most"),
    ("hostImage/name", 20.04, "hostImage.name", "YAML reads it as a number, write it in quotes"),
]
THEIRS: list[Row] = [
    ("vm_types/arm_small", PROTOTYPE["vm_types"]["arm"], "vm_types.arm_small", A_NAME),
    ("name_of_initial_instance", "localhost", "name_of_initial_instance", "is every machine's name for itself"),
    ("vm_types/x86/ram", 2**21, "vm_types.x86.ram", "at most 1TiB"),
    ("vm_types/x86/storage", 10**6, "vm_types.x86.storage", "at most 64TiB"),
    ("vm_types/x86/qemu-args", "-smp 8", "vm_types.x86.qemu-args.0", "the number of CPUs is the field cpus"),
    ("vm_types/x86/qemu-args", "edge", "vm_types.x86.qemu-args.0", "QEMU would take it for a disk image"),
]
OF_OTHER_BASES = [
    ("cpus: 010", "010 is read as the number 8: write that, or in quotes if it is text"),
    ("ports: [22:30]", "22:30 is read as the number 1350: write that, or in quotes if it is text"),
    ("id: 01234567012345670123456701234567", "in quotes if it is text"),
]


@pytest.mark.parametrize("row", OURS, ids=identified(OURS))
def test_a_node_that_could_not_be_is_refused(row: Row, tmp_path: Path) -> None:
    refused_row(GOOD, row, tmp_path)


@pytest.mark.parametrize("row", THEIRS, ids=identified(THEIRS))
def test_a_node_that_could_not_be_is_refused_in_the_prototype_s_file(row: Row, tmp_path: Path) -> None:
    refused_row(PROTOTYPE, row, tmp_path)


@pytest.mark.parametrize(("text", "words"), OF_OTHER_BASES)
@pytest.mark.parametrize("tag", ["", "!ClusterData\n"])
def test_numbers_of_other_bases_are_refused_with_their_line(tag: str, text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "description.yaml"
    file.write_text(f"{tag}{text}\n")
    (told,) = checked(file)
    assert words in " ".join(told.split())
    assert "line " in told


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{X86}/labels", {"topology.kubernetes.io/zone": "a", "node-role.kubernetes.io/edge": "", "n": 3, "b": True}),
        (f"{X86}/taints", ["edge=yes:NoSchedule", "edge=yes:NoExecute", "node-role.kubernetes.io/edge:NoSchedule"]),
        (f"{X86}/qemuArgs", ["-machine", "hmat=on", "-d", "guest_errors", "-D", "m"]),
        ("nodeTypes/z", {**S390, "cpus": 248}),
        ("access/user", "null"),
        ("access/sshPublicKeys", ["sk-ssh-ed25519@openssh.com AAAA me", "sk-ecdsa-sha2-nistp256@openssh.com AAAA="]),
        ("kubernetes/version", "1.31.0"),
        ("kubernetes/version", "1.99.0"),
        (
            "access",
            {
                "mode": "bastion",
                "bastion": {**BASTION, "hostKey": "ssh-ed25519 AAAA root@b\n"},
                "allowedCidrs": ["10.0.0.7/32"],
            },
        ),
    ],
)
def test_what_works_is_taken(path: str, value: object) -> None:
    assert validated(spoiled(path, value))


def test_a_key_s_line_end_is_no_part_of_it() -> None:
    spec = validated(spoiled("access/sshPublicKeys", ["ssh-ed25519 AAAA me\r\n"]))
    assert spec.access.ssh_public_keys == ("ssh-ed25519 AAAA me",)


def test_no_field_answers_with_a_regular_expression() -> None:
    def patterns(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from (str(each) for name, each in schema.items() if name == "pattern" and isinstance(each, str))
            for each in schema.values():
                yield from patterns(each)
        elif isinstance(schema, list | tuple):
            for each in schema:
                yield from patterns(each)

    def validation(schema: Any) -> Any:
        # What is beside validation says what a schema in JSON has.
        if isinstance(schema, dict):
            return {name: validation(each) for name, each in schema.items() if "json_schema" not in name}
        return [validation(each) for each in schema] if isinstance(schema, list | tuple) else schema

    assert not [*patterns(validation(ClusterSpec.__pydantic_core_schema__))]
