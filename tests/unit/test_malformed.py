"""Malformed descriptions in both formats: ``check`` refuses each with all its mistakes, and without a traceback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from q8s_infra.spec import SpecErrors, load, read
from tests.unit.malformed import Row, checked, identified, refused_row, written
from tests.unit.specs import DEBIAN, GOOD, KEYED, KEYLESS, PROTOTYPE, UBUNTU, spoiled

X86 = "nodeTypes/x86"
MIPS = "unknown architecture; there are x86_64, arm64, riscv64, ppc64le, s390x"
OURS: list[Row] = [
    ("name", "Demo", "name", "must be 1 to 63 letters a to z, digits and"),
    ("name", "", "name", "must be 1 to 63 letters a to z, digits and"),
    ("name", "a" * 64, "name", "must be 1 to 63 letters a to z, digits and"),
    ("name", "-demo", "name", "must be 1 to 63 letters a to z, digits and"),
    ("name", "demo_1", "name", "must be 1 to 63 letters a to z, digits and"),
    ("name", 7, "name", "must be text"),
    ("unknown", 1, "unknown", "is no field, there are name, network,"),
    ("network", ..., "network", "is missing"),
    ("network", {}, "network", "give the network's name or its id, one of them"),
    ("network", {"name": "a", "id": "0" * 32}, "network", "give the network's name or its id, one of them"),
    ("network", "private", "network", "must be a mapping"),
    ("network/cidr", "10.254.1.0/33", "network.cidr", "must be an IPv4 network such as 10.0.0.0/16, with"),
    ("network/cidr", "10.254.1.5/24", "network.cidr", "must be an IPv4 network such as 10.0.0.0/16, with"),
    ("network/cidr", "10.244.0.0/24", "kubernetes.podCidr", "10.244.0.0/16 overlaps network.cidr, 10.244.0.0/24"),
    ("network/guestLink", "10.244.0.0/30", "network.guestLink", "10.244.0.0/30 overlaps kubernetes.podCidr, 10.2"),
    ("network/subnet", "", "network.subnet", "must not be empty"),
    ("network/subnet", ["lan"], "network.subnet", "must be text"),
    ("network/subnets", ["lan"], "network.subnets", "is no field, there are name, id, cidr, subnet"),
    ("network/gateway", "10.254.1.1", "network.gateway", "is no field, there are name, id, cidr"),
    ("hostImage", ..., "hostImage", "is missing"),
    ("hostImage/name", "", "hostImage.name", "must not be empty"),
    ("access/mode", "magic", "access.mode", "Input should be 'direct', 'floatingIp' or 'bastion'"),
    ("access/mode", "floatingIp", "access.externalNetwork", "goes with mode floatingIp, and only with it"),
    ("access/mode", "bastion", "access.bastion", "goes with mode bastion, and only with it"),
    ("access/externalNetwork", "public", "access.externalNetwork", "goes with mode floatingIp, and only with it"),
    ("access/user", "Root!", "access.user", "a login is letters a to z, digits, '-' and"),
    (
        "access/allowedCidrs",
        ["10.0.0.0/40"],
        "access.allowedCidrs.0",
        "must be an IPv4 network such as 10.0.0.0/16, with",
    ),
    ("access/allowedCidrs", "everyone", "access.allowedCidrs", "must be a list"),
    (
        "access/sshPublicKeys",
        ["not a key"],
        "access.sshPublicKeys.0",
        "an SSH public key is one line of a .pub file",
    ),
    ("access/bastion", {"host": "b", "user": "u"}, "access.bastion.privateKeyFile", "is missing"),
    ("controlPlanes", ..., "controlPlanes", "is missing"),
    ("controlPlanes/flavor", ..., "controlPlanes.flavor", "is missing"),
    ("controlPlanes/count", 0, "controlPlanes.count", "Input should be greater than or equal to 1"),
    ("controlPlanes/count", -1, "controlPlanes.count", "Input should be greater than or equal to 1"),
    ("controlPlanes/count", 2.5, "controlPlanes.count", "must be a whole number"),
    ("controlPlanes/count", "3", "controlPlanes.count", "must be a whole number"),
    ("controlPlanes/count", 10, "controlPlanes.count", "Input should be less than or equal to 9"),
    (
        "controlPlanes/name",
        "No Label",
        "controlPlanes.name",
        "must be 1 to 63 letters a to z, digits and",
    ),
    (
        "nodeTypes/Bad Name",
        GOOD["nodeTypes"]["x86"],
        "nodeTypes.Bad Name",
        "must be 1 to 63 letters a to z, digits and",
    ),
    (f"{X86}/architecture", "mips", "nodeTypes.x86.architecture", MIPS),
    (f"{X86}/architecture", ..., "nodeTypes.x86.architecture", "is missing"),
    (f"{X86}/cpuModel", "cortex-a57", "nodeTypes.x86.cpuModel", "is no model of x86_64, there are Broadwell,"),
    (f"{X86}/cpuModel", "Pentium", "nodeTypes.x86.cpuModel", "is no model of x86_64, there are Broadwell,"),
    (f"{X86}/machine", "virt", "nodeTypes.x86.machine", "is no machine of x86_64, there are q35, pc"),
    (f"{X86}/cpus", 0, "nodeTypes.x86.cpus", "Input should be greater than or equal to 1"),
    (f"{X86}/cpus", -2, "nodeTypes.x86.cpus", "Input should be greater than or equal to 1"),
    (f"{X86}/cpus", 256, "nodeTypes.x86.cpus", "Input should be less than or equal to 255"),
    (f"{X86}/cpus", "two", "nodeTypes.x86.cpus", "must be a whole number"),
    (f"{X86}/cpus", ..., "nodeTypes.x86.cpus", "is missing"),
    (f"{X86}/memory", "2", "nodeTypes.x86.memory", "a size is a positive whole number with a unit (KiB,"),
    (f"{X86}/memory", 2048, "nodeTypes.x86.memory", "a size is a positive whole number with a unit (KiB,"),
    (f"{X86}/memory", "0GiB", "nodeTypes.x86.memory", "a size is a positive whole number with a unit (KiB,"),
    (f"{X86}/memory", "-2GiB", "nodeTypes.x86.memory", "a size is a positive whole number with a unit (KiB,"),
    (f"{X86}/memory", "1.5GiB", "nodeTypes.x86.memory", "a size is a positive whole number with a unit (KiB,"),
    (f"{X86}/memory", "512MiB", "nodeTypes.x86.memory", "at least 1GiB, for a system with kubelet and"),
    (f"{X86}/memory", "2 gigs", "nodeTypes.x86.memory", "a size is a positive whole number with a unit (KiB,"),
    (f"{X86}/disk", "1GiB", "nodeTypes.x86.disk", "at least 4GiB, for a cloud image"),
    (f"{X86}/disk", "large", "nodeTypes.x86.disk", "a size is a positive whole number with a unit (KiB,"),
    (f"{X86}/disk", ..., "nodeTypes.x86.disk", "is missing"),
    (f"{X86}/flavor", "", "nodeTypes.x86.flavor", "must not be empty"),
    (f"{X86}/flavor", ..., "nodeTypes.x86.flavor", "is missing"),
    (f"{X86}/gpu", 1, "nodeTypes.x86.gpu", "is no field, there are architecture, cpus, memory,"),
    (
        f"{X86}/labels",
        {"bad key!": "x"},
        "nodeTypes.x86.labels.bad key!",
        "a label's key is [prefix/]name, the name of letters,",
    ),
    (
        f"{X86}/labels",
        {"key": "bad value!"},
        "nodeTypes.x86.labels.key",
        "a label's value is of letters, digits, '-', '_' and",
    ),
    (f"{X86}/taints", ["edge"], "nodeTypes.x86.taints.0", "a taint is key[=value]:effect, the effect one of"),
    (f"{X86}/taints", ["edge=yes:Never"], "nodeTypes.x86.taints.0", "a taint is key[=value]:effect, the effect one of"),
    (f"{X86}/qemuArgs", [""], "nodeTypes.x86.qemuArgs.0", "must not be empty"),
    ("workers/riscv", 1, "workers.riscv", "no such node type, there are arm, x86"),
    ("workers/x86", -1, "workers.x86", "Input should be greater than or equal to 0"),
    ("workers/x86", "one", "workers.x86", "must be a whole number"),
    ("workers/x86", True, "workers.x86", "must be a whole number"),
    ("workers/x86", 5001, "workers.x86", "Input should be less than or equal to 5000"),
    ("kubernetes/version", "latest", "kubernetes.version", "a version is three numbers with dots between them"),
    ("kubernetes/version", "v1.34.4", "kubernetes.version", "a version is three numbers with dots between them"),
    ("kubernetes/podCidr", "10.96.0.0/16", "kubernetes.podCidr", "10.96.0.0/16 overlaps kubernetes.serviceCidr,"),
    ("kubernetes/nodeCidrMaskSize", 7, "kubernetes.nodeCidrMaskSize", "Input should be greater than or equal to 8"),
    (
        "kubernetes/nodeCidrMaskSize",
        26,
        "kubernetes.nodeCidrMaskSize",
        "a /26 has addresses for 61 pods and a node runs up",
    ),
    ("kubernetes/nodeCidrMaskSize", 33, "kubernetes.nodeCidrMaskSize", "Input should be less than or equal to 25"),
    ("kubernetes/nodeCidrMaskSize", "24", "kubernetes.nodeCidrMaskSize", "must be a whole number"),
    ("kubernetes/nodeCidrMaskSize", True, "kubernetes.nodeCidrMaskSize", "must be a whole number"),
    ("kubernetes/cgroupDriver", "none", "kubernetes.cgroupDriver", "Input should be 'systemd' or 'cgroupfs'"),
    *(
        ("kubernetes/certificateValidityPeriod", given, "kubernetes.certificateValidityPeriod", told)
        for given, told in (
            ("23h", "1d to 3650d: their authority is valid for ten years"),
            ("3651d", "1d to 3650d: their authority is valid for ten years"),
            ("0d", "a period is a positive whole number of days (d) or hours (h), such as 90d"),
            ("1y", "a period is a positive whole number of days (d) or hours (h), such as 90d"),
            (90, "a period is a positive whole number of days (d) or hours (h), such as 90d"),
        )
    ),
    (
        "guestImages/x86_64/sha256",
        "abc",
        "guestImages.x86_64.sha256",
        "a SHA-256 is 64 hexadecimal digits in lower case",
    ),
    (
        "guestImages/x86_64/url",
        "mirror/amd64",
        "guestImages.x86_64.url",
        "a URL is http://HOST[:PORT][/PATH]",
    ),
    ("guestImages/x86_64/sha256", ..., "guestImages.x86_64.sha256", "is missing, and only Ubuntu's images have a"),
    (
        "guestImages/x86_64",
        {"url": f"{DEBIAN}/bookworm/20260911-2271/debian-12-generic.qcow2"},
        "guestImages.x86_64.sha256",
        "is missing, and only Ubuntu's images have a",
    ),
    (
        "guestImages/x86_64",
        {"url": f"{UBUNTU}/release/ubuntu-24.04.img"},
        "guestImages.x86_64.url",
        "https://cloud-images.ubuntu.com/releases/noble/relea",
    ),
    (
        "guestImages/x86_64",
        {"url": f"{UBUNTU}/current/ubuntu-24.04.img"},
        "guestImages.x86_64.url",
        "https://cloud-images.ubuntu.com/releases/noble/curre",
    ),
    (
        "guestImages/x86_64",
        {"url": f"{UBUNTU}/release-20260911/"},
        "guestImages.x86_64.url",
        "https://cloud-images.ubuntu.com/releases/noble/relea",
    ),
    (
        "guestImages/x86_64",
        {"url": f"{UBUNTU}/release-20260911/a.img?b"},
        "guestImages.x86_64.url",
        "https://cloud-images.ubuntu.com/releases/noble/relea",
    ),
    (
        "guestImages/x86_64",
        {"url": f"{UBUNTU}/release-20260911/unpacked/a.img"},
        "guestImages.x86_64.url",
        "https://cloud-images.ubuntu.com/releases/noble/relea",
    ),
    (
        "guestImages/x86_64",
        {"url": f"{UBUNTU}/release-202609/a.img"},
        "guestImages.x86_64.url",
        "https://cloud-images.ubuntu.com/releases/noble/relea",
    ),
    (
        "guestImages/mips",
        {"url": "http://m/i", "sha256": "a" * 64},
        "guestImages.mips",
        MIPS,
    ),
    ("openPorts/tcp", [0], "openPorts.tcp.0", "a port is a number from 1 to 65535, or a range such"),
    ("openPorts/tcp", [70000], "openPorts.tcp.0", "a port is a number from 1 to 65535, or a range such"),
    ("openPorts/udp", ["9-1"], "openPorts.udp.0", "a port is a number from 1 to 65535, or a range such"),
    ("openPorts/cidr", "0.0.0.0/99", "openPorts.cidr", "must be an IPv4 network such as 10.0.0.0/16, with"),
    ("nodePorts", "all", "nodePorts", "a port is a number from 1 to 65535, or a range such"),
    ("proxy", "http://proxy:3128", "proxy", "must be a mapping"),
    ("proxy/http", "proxy:3128", "proxy.http", "a proxy is http://HOST:PORT or"),
    ("proxy/http", "socks5://proxy:1080", "proxy.http", "a proxy is http://HOST:PORT or"),
    ("proxy/http", "file:///proxy:3128", "proxy.http", "a proxy is http://HOST:PORT or"),
    ("proxy/http", "http://:3128", "proxy.http", "a proxy is http://HOST:PORT or"),
    ("proxy/http", "http://user:word@:3128", "proxy.http", "a proxy is http://HOST:PORT or"),
    ("proxy/http", "http://proxy", "proxy.http", "a proxy is http://HOST:PORT or"),
    ("proxy/http", "http://proxy:0", "proxy.http", "a proxy is http://HOST:PORT or"),
    ("proxy/http", "http://proxy:70000", "proxy.http", "a proxy is http://HOST:PORT or"),
    ("proxy/http", "http://proxy:3128/path", "proxy.http", "a proxy is http://HOST:PORT or"),
    ("proxy/http", "http://proxy:3128\n", "proxy.http", "a proxy is http://HOST:PORT or"),
    ("proxy/https", 'http://user:a"b@proxy:3128', "proxy.https", "a proxy is http://HOST:PORT or"),
    ("proxy/https", "http://user:a b@proxy:3128", "proxy.https", "a proxy is http://HOST:PORT or"),
    ("proxy/https", "http://user:a@b@proxy:3128", "proxy.https", "a proxy is http://HOST:PORT or"),
    ("proxy/ftp", "http://proxy:3128", "proxy.ftp", "is no field, there are http, https, noProxy"),
    ("proxy", {"noProxy": ["mirror"]}, "proxy.noProxy", "goes with http or https, and neither is given"),
    ("proxy", {"http": "http://p:1", "noProxy": "mirror"}, "proxy.noProxy", "must be a list"),
    (
        "proxy",
        {"http": "http://p:1", "noProxy": ["mirror other"]},
        "proxy.noProxy.0",
        "one name (which stands for all below it, too),",
    ),
    (
        "proxy",
        {"http": "http://p:1", "noProxy": ["mirror", "a,b"]},
        "proxy.noProxy.1",
        "one name (which stands for all below it, too),",
    ),
    (
        "proxy",
        {"http": "http://p:1", "noProxy": ["mirror:5000"]},
        "proxy.noProxy.0",
        "one name (which stands for all below it, too),",
    ),
    (
        "proxy",
        {"http": "http://p:1", "noProxy": ["*.example.org"]},
        "proxy.noProxy.0",
        "one name (which stands for all below it, too),",
    ),
    (
        "proxy",
        {"http": "http://p:1", "noProxy": ["http://mirror"]},
        "proxy.noProxy.0",
        "one name (which stands for all below it, too),",
    ),
    (
        "proxy",
        {"http": "http://p:1", "noProxy": ["10.0.0.0/33"]},
        "proxy.noProxy.0",
        "one name (which stands for all below it, too),",
    ),
    (
        "proxy",
        {"http": "http://p:1", "noProxy": [""]},
        "proxy.noProxy.0",
        "one name (which stands for all below it, too),",
    ),
    ("sources/caCertificates", "", "sources.caCertificates", "one or more certificates, each from -----BEGIN"),
    (
        "sources/registryMirror",
        "mirror:5000",
        "sources.registryMirror",
        "a mirror of registries is http://HOST[:PORT][/PATH]",
    ),
    ("sources/registries", ["docker.io"], "sources.registries", "must be a mapping"),
    ("sources/registries", {"docker.io": "http://m"}, "sources.registries.docker.io", "must be a mapping"),
    ("sources/registries", {"ghcr.io": {}}, "sources.registries.ghcr.io", "give mirror, caCertificates, or username"),
    ("sources/registries", {"ghcr.io": {"url": 1}}, "sources.registries.ghcr.io.url", "is no field, there are mirror,"),
    ("sources/registries", {"library": {"mirror": "http://m"}}, "sources.registries.library", "a registry is named as"),
    ("sources/registries", {"http://a.b": {"mirror": "http://m"}}, "sources.registries.http://a.b", "a registry is"),
    ("sources/registries", {"a.b/c": {"mirror": "http://m"}}, "sources.registries.a.b/c", "a registry is named as in"),
    ("sources/registries", {"_default": {"mirror": "http://m"}}, "sources.registries._default", "the mirror of all"),
    ("sources/registries", {"a.b": {"mirror": "m:5000"}}, "sources.registries.a.b.mirror", "a mirror is http://HOST"),
    ("sources/registries", {"a.b": {"mirror": "file:///m"}}, "sources.registries.a.b.mirror", "a mirror is http://"),
    ("sources/registries", {"a.b": {"mirror": 'http://m/"'}}, "sources.registries.a.b.mirror", "a mirror is http://"),
    ("sources/registries", {"a.b": {"mirror": "http://u:p@m"}}, "sources.registries.a.b.mirror", "a mirror is http://"),
    ("sources/registries", {"a.b": {"caCertificates": "x"}}, "sources.registries.a.b.caCertificates", "one or more"),
    ("sources/registries", {"a.b": {"username": "u"}}, "sources.registries.a.b.password", "is missing, and username"),
    ("sources/registries", {"a.b": {"password": "p"}}, "sources.registries.a.b.password", "goes with username, and"),
    (
        "sources/registries",
        {"a.b": {"username": "", "password": "p"}},
        "sources.registries.a.b.username",
        "must not be empty",
    ),
    (
        "sources/registries",
        {"a.b": {"username": "u:v", "password": "p"}},
        "sources.registries.a.b.username",
        "printable characters without a colon",
    ),
    (
        "sources/registries",
        {"a.b": {"username": "u", "password": "p\n"}},
        "sources.registries.a.b.password",
        "printable characters, without line ends",
    ),
    (
        "sources/registries",
        {"a.b": {"username": "u", "password": 1}},
        "sources.registries.a.b.password",
        "must be text",
    ),
    (
        "sources/registries",
        {"a.b": {"mirror": "http://m", "username": "u", "password": "p"}},
        "sources.registries.a.b.password",
        "is sent by https only, and the mirror's URL",
    ),
    (
        "sources/registries",
        {"docker.io": {"username": "u", "password": "p"}},
        "sources.registries.docker.io.password",
        "is for a mirror, as docker.io takes none",
    ),
    (
        "sources/hostApt",
        [{"uri": "http://m", "suites": []}],
        "sources.hostApt.0.suites",
        "must have 1 at least",
    ),
    (
        "sources/hostApt",
        [{"uri": "http://m", "suites": ["a"], "keyUrl": "http://m/k"}],
        "sources.hostApt.0.keyUrl",
        "goes with keyFingerprints or keySha256, exactly one",
    ),
    (
        "sources/hostApt",
        [{**KEYED, "keySha256": "C" * 64}],
        "sources.hostApt.0.keySha256",
        "a SHA-256 is 64 hexadecimal digits in lower case",
    ),
    (
        "sources/hostApt",
        [{**KEYED, "keySha256": "c" * 63}],
        "sources.hostApt.0.keySha256",
        "a SHA-256 is 64 hexadecimal digits in lower case",
    ),
    (
        "sources/hostApt",
        [{**KEYED, "keySha256": "c" * 64, "keyFingerprints": ["a" * 40]}],
        "sources.hostApt.0.keyUrl",
        "goes with keyFingerprints or keySha256, exactly one",
    ),
    (
        "sources/hostApt",
        [{**KEYED, "keyFingerprints": []}],
        "sources.hostApt.0.keyUrl",
        "goes with keyFingerprints or keySha256, exactly one",
    ),
    (
        "sources/hostApt",
        [{**KEYED, "keyFingerprints": ["a" * 39]}],
        "sources.hostApt.0.keyFingerprints.0",
        "an OpenPGP fingerprint has 40 hexadecimal digits,",
    ),
    (
        "sources/hostApt",
        [{**KEYED, "keyFingerprints": ["a" * 40, "g" * 40]}],
        "sources.hostApt.0.keyFingerprints.1",
        "an OpenPGP fingerprint has 40 hexadecimal digits,",
    ),
    (
        "sources/hostApt",
        [{**KEYED, "keyFingerprints": ["234654DA9A296436"]}],
        "sources.hostApt.0.keyFingerprints.0",
        "an OpenPGP fingerprint has 40 hexadecimal digits,",
    ),
    (
        "sources/hostApt",
        [{**KEYED, "keyFingerprints": "a" * 40}],
        "sources.hostApt.0.keyFingerprints",
        "must be a list",
    ),
    (
        "sources/hostApt",
        [{**KEYLESS, "keySha256": "c" * 64}],
        "sources.hostApt.0.keyUrl",
        "is missing, where keyFingerprints or keySha256 say",
    ),
    (
        "sources/hostApt",
        [{**KEYLESS, "keyFingerprints": ["a" * 40]}],
        "sources.hostApt.0.keyUrl",
        "is missing, where keyFingerprints or keySha256 say",
    ),
    (
        "sources/hostApt",
        [KEYLESS, {**KEYLESS, "archive": "debian"}],
        "sources.hostApt.1.archive",
        "is for guestApt, as a host's image has its own keys",
    ),
    (
        "sources/guestApt",
        {"arm64": [{**KEYLESS, "archive": "fedora"}]},
        "sources.guestApt.arm64.0.archive",
        "Input should be 'debian' or 'ubuntu'",
    ),
    (
        "sources/guestApt",
        {"arm64": [{**KEYED, "keySha256": "c" * 64, "archive": "debian"}]},
        "sources.guestApt.arm64.0.archive",
        "is for a source without keyUrl, and this one has a",
    ),
    (
        "sources",
        {"kubernetesApt": KEYLESS},
        "sources.kubernetesApt.keyUrl",
        "is missing, and no distribution signs Kubernetes'",
    ),
    (
        "sources/kubernetesApt",
        {**KEYED, "keySha256": "c" * 64},
        "sources.kubernetesKeySha256",
        "is for pkgs.k8s.io, and kubernetesApt has a key of",
    ),
    (
        "sources/kubernetesKeyFingerprints",
        ["a" * 40],
        "sources.kubernetesKeySha256",
        "this or kubernetesKeyFingerprints, exactly one of",
    ),
    (
        "sources",
        {"kubernetesKeyFingerprints": []},
        "sources.kubernetesKeyFingerprints",
        "one at least, as packages are never taken unchecked",
    ),
    (
        "sources",
        {"kubernetesKeyFingerprints": ["0x" + "a" * 40]},
        "sources.kubernetesKeyFingerprints.0",
        "an OpenPGP fingerprint has 40 hexadecimal digits,",
    ),
    (
        "sources",
        {"kubernetesKeyFingerprints": ["a" * 40], "kubernetesApt": {**KEYED, "keySha256": "c" * 64}},
        "sources.kubernetesKeyFingerprints",
        "is for pkgs.k8s.io, and kubernetesApt has a key of",
    ),
    (
        "sources/kubernetesKeySha256",
        "sha256:" + "c" * 64,
        "sources.kubernetesKeySha256",
        "a SHA-256 is 64 hexadecimal digits in lower case",
    ),
    ("tags", ["a,b"], "tags.0", "a tag is 1 to 60 characters without"),
    ("name", "\u0661demo", "name", "must be 1 to 63 letters a to z, digits and"),
    ("name", None, "name", "must be text"),
    ("name", "a" * 48, "name", "at most 63 work"),
    ("networks", {"name": "private"}, "networks", "is no field, there are name, network,"),
    ("network/name", "", "network.name", "must not be empty"),
    ("network/name", 5, "network.name", "must be text"),
    ("network", {"id": "not-an-id"}, "network.id", "an id of OpenStack is 32 hexadecimal digits"),
    ("network/cidr", 10, "network.cidr", "must be text, an IPv4 network such as 10.0.0.0/16"),
    ("network/cidr", True, "network.cidr", "must be text, an IPv4 network such as 10.0.0.0/16"),
    ("network/cidr", ["10.0.0.0/8"], "network.cidr", "must be text, an IPv4 network such as 10.0.0.0/16"),
    ("network/cidr", "fd00::/8", "network.cidr", "is of IPv6, and only IPv4 works here"),
    ("hostImage", "debian-12", "hostImage", "must be a mapping"),
    ("hostImage/id", "0" * 32, "hostImage.id", "is no field, there are name"),
    ("access", [], "access", "must be a mapping"),
    ("access/mode", None, "access.mode", "Input should be 'direct', 'floatingIp' or 'bastion'"),
    ("access/allowedCidrs", [167772160], "access.allowedCidrs.0", "must be text, an IPv4 network such as 10.0.0.0/16"),
    (
        "access/sshPublicKeys",
        ["ssh-ed25519 AAAA\nssh-ed25519 BBBB"],
        "access.sshPublicKeys.0",
        "an SSH public key is one line of a .pub file",
    ),
    (
        "access/bastion",
        {"host": "b", "user": "u", "privateKeyFile": "k", "hostKey": "ssh-rsa AAAA", "port": 0},
        "access.bastion.port",
        "Input should be greater than or equal to 1",
    ),
    (
        "access/bastion",
        {"host": "b", "user": "u", "privateKeyFile": "k", "hostKey": "ssh-rsa AAAA", "localPort": 443},
        "access.bastion.localPort",
        "Input should be greater than or equal to 1024",
    ),
    (
        "access/bastion",
        {"host": "b", "user": "u", "privateKeyFile": "k", "hostKey": "ssh-rsa AAAA"},
        "access.bastion",
        "goes with mode bastion, and only with it",
    ),
    ("controlPlanes/availabilityZone", "", "controlPlanes.availabilityZone", "must not be empty"),
    (f"{X86}/availabilityZone", 1, "nodeTypes.x86.availabilityZone", "must be text"),
    ("controlPlanes/bootVolume", "40GiB", "controlPlanes.bootVolume", "must be a mapping"),
    ("controlPlanes/bootVolume", {}, "controlPlanes.bootVolume.size", "is missing"),
    (
        "controlPlanes/bootVolume",
        {"size": "1500MiB"},
        "controlPlanes.bootVolume.size",
        "OpenStack's volumes are of whole GiB",
    ),
    (f"{X86}/bootVolume", {"size": 40}, "nodeTypes.x86.bootVolume.size", "a size is a positive whole number with"),
    (
        f"{X86}/bootVolume",
        {"size": "40GiB", "type": ""},
        "nodeTypes.x86.bootVolume.type",
        "must not be empty",
    ),
    (
        f"{X86}/bootVolume",
        {"size": "40GiB", "zone": "a"},
        "nodeTypes.x86.bootVolume.zone",
        "is no field, there are size, type",
    ),
    ("bootVolume", {"size": "40GiB"}, "bootVolume", "is no field, there are name, network,"),
    ("availabilityZone", "nova", "availabilityZone", "is no field, there are name, network,"),
    ("antiAffinity", "maybe", "antiAffinity", "Input should be 'none', 'soft' or 'hard'"),
    ("antiAffinity", True, "antiAffinity", "Input should be 'none', 'soft' or 'hard'"),
    ("configDrive", "yes", "configDrive", "must be true or false"),
    ("configDrive", 1, "configDrive", "must be true or false"),
    ("controlPlanes/count", True, "controlPlanes.count", "must be a whole number"),
    ("controlPlanes/workers", 1, "controlPlanes.workers", "is no field, there are flavor, count, name"),
    ("controlPlanes/name", "demo-x86-0", "nodeTypes", "two nodes would have the name demo-x86-0, rename"),
    ("nodeTypes", ["x86"], "nodeTypes", "must be a mapping"),
    ("nodeTypes/x86", "small", "nodeTypes.x86", "must be a mapping"),
    (f"{X86}/architecture", ["x86_64"], "nodeTypes.x86.architecture", "must be text"),
    (f"{X86}/memory", "\u0662GiB", "nodeTypes.x86.memory", "a size is a positive whole number with a unit (KiB,"),
    (f"{X86}/memory", f"{'9' * 400}GiB", "nodeTypes.x86.memory", "a size is a positive whole number with a unit (KiB,"),
    (f"{X86}/memory", {"GiB": 2}, "nodeTypes.x86.memory", "a size is a positive whole number with a unit (KiB,"),
    (
        f"{X86}/labels",
        {"tier": None},
        "nodeTypes.x86.labels.tier",
        "a label's value is of letters, digits, '-', '_' and",
    ),
    (f"{X86}/labels", ["tier"], "nodeTypes.x86.labels", "must be a mapping"),
    (f"{X86}/taints", "edge:NoSchedule", "nodeTypes.x86.taints", "must be a list"),
    (f"{X86}/maxUnavailable", 0, "nodeTypes.x86.maxUnavailable", "Input should be greater than or equal to 1"),
    (f"{X86}/maxUnavailable", "50%", "nodeTypes.x86.maxUnavailable", "must be a whole number"),
    ("workers", ["x86"], "workers", "must be a mapping"),
    ("workers/x86", None, "workers.x86", "must be a whole number"),
    ("workers/x86", {"count": 1}, "workers.x86", "must be a whole number"),
    ("kubernetes/version", 1.34, "kubernetes.version", "must be text"),
    (
        "kubernetes/version",
        "\u0661.34.4",
        "kubernetes.version",
        "a version is three numbers with dots between them",
    ),
    (
        "kubernetes/flannelVersion",
        "v0.25.6",
        "kubernetes.flannelVersion",
        "a version is three numbers with dots between them",
    ),
    ("kubernetes/podCidr", 10, "kubernetes.podCidr", "must be text, an IPv4 network such as 10.0.0.0/16"),
    (
        "kubernetes/serviceCidr",
        "10.96.0.1/12",
        "kubernetes.serviceCidr",
        "must be an IPv4 network such as 10.0.0.0/16, with",
    ),
    ("kubernetes/ignorePreflightErrors", "all", "kubernetes.ignorePreflightErrors", "must be a list"),
    ("guestImages", "http://mirror/a.img", "guestImages", "must be a mapping"),
    ("guestImages/arm64/sha512", "b", "guestImages.arm64.sha512", "is no field, there are url, sha256"),
    (
        "guestImages/aarch64",
        {"url": "http://m/i", "sha256": "a" * 64},
        "guestImages",
        "arm64 and aarch64 are the same architecture, write",
    ),
    (
        "sources/guestApt",
        {"arm64": [KEYLESS], "arm_64": [KEYLESS]},
        "sources.guestApt",
        "arm64 and arm_64 are the same architecture, write",
    ),
    ("openPorts/tcp", 8080, "openPorts.tcp", "must be a list"),
    ("openPorts/tcp", ["80_00"], "openPorts.tcp.0", "a port is a number from 1 to 65535, or a range such"),
    ("openPorts/tcp", [[80, 90]], "openPorts.tcp.0", "a port is a number from 1 to 65535, or a range such"),
    ("openPorts/tcp", [True], "openPorts.tcp.0", "a port is a number from 1 to 65535, or a range such"),
    ("openPorts/sctp", [1], "openPorts.sctp", "is no field, there are tcp, udp, cidr"),
    ("nodePorts", 30000, "nodePorts", "must be text"),
    ("securityGroups", ["default", ""], "securityGroups.1", "must not be empty"),
    ("sources/hostApt", KEYLESS, "sources.hostApt", "must be a list"),
    ("guestTimeoutMinutes", 0, "guestTimeoutMinutes", "Input should be greater than or equal to 1"),
    ("guestTimeoutMinutes", "30", "guestTimeoutMinutes", "must be a whole number"),
    ("tags", "q8s", "tags", "must be a list"),
    ("tags", ["a/b"], "tags.0", "a tag is 1 to 60 characters without"),
]
THEIRS: list[Row] = [
    ("speed", "fast", "speed", "is no field of a prototype's cluster.yaml, there"),
    ("git_url", ["a"], "git_url", "must be text"),
    ("private_network_id", ..., "private_network_id", "give the network's name or its id, one of them"),
    ("private_network_id", "private", "private_network_id", "an id of OpenStack is 32 hexadecimal digits"),
    ("private_network_id", 7, "private_network_id", "must be text"),
    ("remote_ip_prefix", "10.254.1.5/24", "remote_ip_prefix", "must be an IPv4 network such as 10.0.0.0/16, with"),
    ("remote_ip_prefix", 10, "remote_ip_prefix", "must be text, an IPv4 network such as 10.0.0.0/16"),
    ("remote_ip_prefix", "10.244.0.0/24", "kubernetes.podCidr", "10.244.0.0/16 overlaps network.cidr, 10.244.0.0/24"),
    ("default_image_name", ..., "default_image_name", "is missing"),
    ("default_image_name", 22.04, "default_image_name", "must be text"),
    ("default_image_name", "", "default_image_name", "must not be empty"),
    (
        "name_of_initial_instance",
        "No Label",
        "name_of_initial_instance",
        "must be 1 to 63 letters a to z, digits and",
    ),
    ("name_of_initial_instance", 1, "name_of_initial_instance", "must be text"),
    ("security_groups", "default", "security_groups", "must be a list of names"),
    ("security_groups", 5, "security_groups", "must be a list of names"),
    ("security_groups", ["default", 5], "security_groups.1", "must be a name, text of 1 to 255 characters"),
    ("security_groups", [""], "security_groups.0", "must be a name, text of 1 to 255 characters"),
    ("security_groups", ["q8s-cluster", "a" * 256], "security_groups.1", "must be a name, text of 1 to 255 characters"),
    ("required_tcp_ports", 6443, "required_tcp_ports", "must be a list"),
    (
        "required_tcp_ports",
        [6443, 70000],
        "required_tcp_ports.1",
        "a port is a number from 1 to 65535, or a range such",
    ),
    ("required_tcp_ports", ["ssh"], "required_tcp_ports.0", "a port is a number from 1 to 65535, or a range such"),
    ("required_udp_ports", {"a": 1}, "required_udp_ports", "must be a list"),
    ("required_udp_ports", [-1], "required_udp_ports.0", "a port is a number from 1 to 65535, or a range such"),
    ("worker_port_range_min", ..., "worker_port_range_min", "must be a port, 1 to 65535, with the other end of"),
    ("worker_port_range_max", ..., "worker_port_range_max", "must be a port, 1 to 65535, with the other end of"),
    ("worker_port_range_min", "30000", "worker_port_range_min", "must be a port, 1 to 65535, with the other end of"),
    ("worker_port_range_min", True, "worker_port_range_min", "must be a port, 1 to 65535, with the other end of"),
    ("worker_port_range_min", 32768, "worker_port_range_min", "must be worker_port_range_max (32767) at most"),
    ("worker_port_range_max", 65536, "worker_port_range_max", "must be a port, 1 to 65535, with the other end of"),
    ("worker_port_range_min", 0, "worker_port_range_min", "must be a port, 1 to 65535, with the other end of"),
    ("master_node_flavor", ..., "master_node_flavor", "is missing"),
    ("master_node_flavor", "", "master_node_flavor", "must not be empty"),
    ("master_node_flavor", ["a"], "master_node_flavor", "must be text"),
    ("number_additional_master_nodes", -1, "number_additional_master_nodes", "must be a whole number, 0 to 8"),
    ("number_additional_master_nodes", 9, "number_additional_master_nodes", "must be a whole number, 0 to 8"),
    ("number_additional_master_nodes", "1", "number_additional_master_nodes", "must be a whole number, 0 to 8"),
    ("number_additional_master_nodes", True, "number_additional_master_nodes", "must be a whole number, 0 to 8"),
    ("number_additional_master_nodes", 1.5, "number_additional_master_nodes", "must be a whole number, 0 to 8"),
    ("number_additional_master_nodes", None, "number_additional_master_nodes", "must be a whole number, 0 to 8"),
    ("worker", ["x86"], "worker", "must be a mapping"),
    ("worker/x86", -1, "worker.x86", "Input should be greater than or equal to 0"),
    ("worker/x86", "one", "worker.x86", "must be a whole number"),
    ("worker/x86", 5001, "worker.x86", "Input should be less than or equal to 5000"),
    ("worker/tape", 1, "worker.tape", "no such node type, there are arm, x86"),
    ("vm_types", ["x86"], "vm_types", "must be a mapping of names to !VmType"),
    ("vm_types/x86", "small", "vm_types.x86", "must be a !VmType mapping"),
    ("vm_types/x86", ["small"], "vm_types.x86", "must be a !VmType mapping"),
    ("vm_types/x86", None, "vm_types.x86", "must be a !VmType mapping"),
    (
        "vm_types/Bad Name",
        PROTOTYPE["vm_types"]["x86"],
        "vm_types.Bad Name",
        "must be 1 to 63 letters a to z, digits and",
    ),
    ("vm_types/x86/gpu", 1, "vm_types.x86.gpu", "is no field of a prototype's !VmType, there are"),
    ("vm_types/x86/architecture", "mips", "vm_types.x86.architecture", MIPS),
    ("vm_types/x86/architecture", ..., "vm_types.x86.architecture", "is missing"),
    (
        "vm_types/x86/architecture",
        "arm_64",
        "vm_types.x86.cpu_model",
        "is no model of arm64, there are a64fx, cortex-a35,",
    ),
    ("vm_types/x86/num_cpus", 0, "vm_types.x86.num_cpus", "Input should be greater than or equal to 1"),
    ("vm_types/x86/num_cpus", 256, "vm_types.x86.num_cpus", "Input should be less than or equal to 255"),
    ("vm_types/x86/num_cpus", "2", "vm_types.x86.num_cpus", "must be a whole number"),
    ("vm_types/x86/num_cpus", ..., "vm_types.x86.num_cpus", "is missing"),
    ("vm_types/x86/cpu_model", "Pentium", "vm_types.x86.cpu_model", "is no model of x86_64, there are Broadwell,"),
    ("vm_types/x86/cpu_model", 86, "vm_types.x86.cpu_model", "must be text"),
    (
        "vm_types/x86/machine_model",
        "raspi3b",
        "vm_types.x86.machine_model",
        "is no machine of x86_64, there are q35, pc",
    ),
    ("vm_types/x86/ram", "2GiB", "vm_types.x86.ram", "must be a positive whole number (MiB)"),
    ("vm_types/x86/ram", 0, "vm_types.x86.ram", "must be a positive whole number (MiB)"),
    ("vm_types/x86/ram", -5, "vm_types.x86.ram", "must be a positive whole number (MiB)"),
    ("vm_types/x86/ram", 2048.5, "vm_types.x86.ram", "must be a positive whole number (MiB)"),
    ("vm_types/x86/ram", True, "vm_types.x86.ram", "must be a positive whole number (MiB)"),
    ("vm_types/x86/ram", 10**400, "vm_types.x86.ram", "must be a positive whole number (MiB)"),
    ("vm_types/x86/ram", ..., "vm_types.x86.ram", "must be a positive whole number (MiB)"),
    ("vm_types/x86/ram", 512, "vm_types.x86.ram", "at least 1GiB, for a system with kubelet and"),
    ("vm_types/x86/storage", "10", "vm_types.x86.storage", "must be a positive whole number (GiB)"),
    ("vm_types/x86/storage", 0, "vm_types.x86.storage", "must be a positive whole number (GiB)"),
    ("vm_types/x86/storage", 3, "vm_types.x86.storage", "at least 4GiB, for a cloud image"),
    ("vm_types/x86/storage", ..., "vm_types.x86.storage", "must be a positive whole number (GiB)"),
    ("vm_types/x86/openstack_flavor", "", "vm_types.x86.openstack_flavor", "must not be empty"),
    ("vm_types/x86/openstack_flavor", ..., "vm_types.x86.openstack_flavor", "is missing"),
    ("vm_types/x86/qemu-args", 5, "vm_types.x86.qemu-args", "must be a list"),
    ("vm_types/x86/qemu-args", ["-d", 1], "vm_types.x86.qemu-args.1", "must be text"),
]

SEVERAL: list[tuple[Mapping[str, Any], dict[str, object], set[str]]] = [
    (
        GOOD,
        {"controlPlanes/count": 0, f"{X86}/cpus": 0, "unknown": 1},
        {"controlPlanes.count", "nodeTypes.x86.cpus", "unknown"},
    ),
    (
        GOOD,
        {
            f"{X86}/{name}": value
            for name, value in {
                "cpus": 0,
                "memory": "1MiB",
                "disk": "1MiB",
                "cpuModel": "Z80",
                "machine": "pdp11",
            }.items()
        },
        {f"nodeTypes.x86.{name}" for name in ("cpus", "memory", "disk", "cpuModel", "machine")},
    ),
    (
        GOOD,
        {"access/user": "Root!", "access/mode": "floatingIp", "access/bastion": {}},
        {
            "access.user",
            "access.externalNetwork",
            *(f"access.bastion.{name}" for name in ("host", "user", "privateKeyFile", "hostKey")),
        },
    ),
    (
        GOOD,
        {"tags": 1, "guestImages/arm64/url": 1, "workers/tape": 1},
        {"tags", "guestImages.arm64.url", "workers.tape"},
    ),
    (
        GOOD,
        {"tags": 1, "network/cidr": ..., "proxy": {"http": "http://p:1"}, "kubernetes/podCidr": "10.96.0.0/16"},
        {"tags", "network.cidr", "kubernetes.podCidr"},
    ),
    (
        GOOD,
        {"hostImage": ..., "name": "a" * 50, "kubernetes/version": "1"},
        {"hostImage", "name", "kubernetes.version"},
    ),
    (
        GOOD,
        {
            "sources": {
                "hostApt": [{**KEYED, "suites": []}],
                "kubernetesKeyFingerprints": ["a" * 40],
                "kubernetesKeySha256": "c" * 64,
            }
        },
        {"sources.hostApt.0.suites", "sources.hostApt.0.keyUrl", "sources.kubernetesKeySha256"},
    ),
    (GOOD, {"controlPlanes/name": "demo-arm-1", "tags": [""]}, {"nodeTypes", "tags.0"}),
    (
        PROTOTYPE,
        {"vm_types/x86/ram": 0, "vm_types/x86/num_cpus": 0, "vm_types/arm/gpu": 1, "speed": "fast", "worker/tape": 1},
        {"vm_types.x86.ram", "vm_types.x86.num_cpus", "vm_types.arm.gpu", "speed", "worker.tape"},
    ),
    (
        PROTOTYPE,
        {
            "remote_ip_prefix": "all",
            "security_groups": 1,
            "required_tcp_ports": [0],
            "worker_port_range_max": "x",
            "number_additional_master_nodes": -1,
            "vm_types/arm": "small",
        },
        {
            "remote_ip_prefix",
            "security_groups",
            "required_tcp_ports.0",
            "worker_port_range_max",
            "number_additional_master_nodes",
            "vm_types.arm",
        },
    ),
]
FILES: list[tuple[str | bytes, str, str]] = [
    ("", "", "must be a mapping"),
    ("demo", "", "must be a mapping"),
    ("[1, 2]", "", "must be a mapping"),
    ("a: [", "", "is no valid YAML"),
    ("a: 1\na: 2\n", "", "'a' stands twice"),
    ("a: 2001-99-99", "", "is no timestamp"),
    ("a: 0x_", "", "is no int"),
    ("a: " + "9" * 5000, "", "is no int"),
    ("a: !!bool perhaps", "", "is no bool"),
    ("a: !!timestamp soon", "", "is no timestamp"),
    ("a: !Other {}", "", "could not determine a constructor"),
    ("? [a]\n: 1", "", "unhashable key"),
    ("[" * 2000, "", "too many levels"),
    (b"a: \xff", "", "is no text in UTF-8: byte 3"),
    ("name: \0", "", "is no valid YAML"),
    ("tags: 0x" + "f" * 5000, "tags", "must be a list"),
    ("name: &a [*a]", "name", "must be text"),
    ('"\\ud800": 1', "q8s:cluster", "must be text that has an encoding (given: '\\ud800')"),
    ('"a\\nb\\e[31m": 1', r"a\nb\x1b[31m", "is no field"),
    ("config: [1]", "config", "must be a mapping"),
    ("config: {}", "q8s:cluster", "describe the cluster here"),
    ("encryptionsalt: a", "q8s:cluster", "describe the cluster here"),
    ("config: {q8s:cluster: demo}", "q8s:cluster", "must be a mapping"),
    ("config: {q8s:clusterFile: 5}", "q8s:clusterFile", "must be text"),
    ("config: {q8s:clusterFile: [a]}", "q8s:clusterFile", "must be text"),
    ("config: {q8s:clusterFile: missing.yaml}", "q8s:clusterFile", "No such file"),
    ("config: {q8s:clusterFile: .}", "q8s:clusterFile", "Is a directory"),
    ('config: {q8s:clusterFile: "a\\0b"}', "q8s:clusterFile", "is no file's name"),
    ("!ClusterData [a]", "q8s:clusterFile", "must be a mapping"),
    ("!ClusterData a", "q8s:clusterFile", "must be a mapping"),
    ("!ClusterData {speed: 1, speed: 2}", "q8s:clusterFile", "'speed' stands twice"),
    ("!ClusterData {cluster_definition: [a]}", "cluster_definition", "must be a mapping, !ClusterDefinition"),
    (
        "!ClusterData {cluster_definition: !ClusterDefinition {git_url: a}}",
        "cluster_definition.git_url",
        "is no field of a prototype's !ClusterDefinition, there are",
    ),
    (
        "!ClusterData {cluster_definition: {}, worker: {}}",
        "worker",
        "is no field of a prototype's cluster.yaml, there are cluster_definition,",
    ),
    ("!ClusterData {vm_types: !VmTypes {types: {}, x86: {}}}", "vm_types.x86", "is no field of a prototype's !VmTypes"),
    ("!ClusterData\nvm_types: {x86: !VmType [a]}", "vm_types.x86", "must be a !VmType mapping"),
    ("!ClusterData\n1: a\nb: c\n", "1", "is no field"),
]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.binary(max_size=4)
    | st.sampled_from(["x86", "arm64", "10.0.0.0/8", "[/red]", "http://m/i", "2GiB", 22, "a" * 64, "a: b; c"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.text(max_size=4)
            | st.integers()
            | st.none()
            | st.sampled_from(["x86", "cpus", "http", "url", "name", "cidr"]),
            below,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def test_there_are_many_rows_and_none_twice() -> None:
    assert len(OURS) + len(THEIRS) + len(SEVERAL) + len(FILES) >= 150
    for rows in (OURS, THEIRS):
        assert len({(path, repr(value)) for path, value, _, _ in rows}) == len(rows)


@pytest.mark.parametrize("row", OURS, ids=identified(OURS))
def test_a_mistake_in_our_format_is_refused(row: Row, tmp_path: Path) -> None:
    refused_row(GOOD, row, tmp_path)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("row", THEIRS, ids=identified(THEIRS))
def test_a_mistake_in_the_prototype_s_format_is_refused_by_its_own_names(
    row: Row, nested: bool, tmp_path: Path
) -> None:
    refused_row(PROTOTYPE, row, tmp_path, nested=nested)


@pytest.mark.parametrize(("good", "changes", "paths"), SEVERAL, ids=[",".join(it[1])[:60] for it in SEVERAL])
def test_all_mistakes_come_at_once(
    good: Mapping[str, Any], changes: Mapping[str, object], paths: set[str], tmp_path: Path
) -> None:
    content = dict(good)
    for path, value in changes.items():
        content = spoiled(path, value, content)
    with pytest.raises(SpecErrors) as caught:
        load(read(file := written(good, content, tmp_path)), "demo", base=tmp_path)
    assert {mistake.path for mistake in caught.value.mistakes} == paths
    assert len(checked(file)) == len(paths)


@pytest.mark.parametrize(("text", "named", "words"), FILES, ids=[repr(it[0])[:40] for it in FILES])
def test_a_file_that_is_no_description_is_refused(text: str | bytes, named: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "description.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert any(it.startswith(f"{named or file}: ") and words in it for it in checked(file))


def test_good_descriptions_are_good_in_both_formats(tmp_path: Path) -> None:
    for good in (GOOD, PROTOTYPE):
        assert not checked(written(good, good, tmp_path))
    assert not checked(written(PROTOTYPE, PROTOTYPE, tmp_path, nested=True))


def places(tree: object, path: str = "") -> Iterable[str]:
    """All fields of a description."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield f"{path}{name}"
            yield from places(value, f"{path}{name}/")


FUZZED = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZED
@given(st.text() | st.text(st.sampled_from("ab:-[]{}!&*?|>'\"#%@` \n\t0123.,~<")))
@example("!VmType")
@example("<<: 1")
@example("&a {a: *a}")
def test_any_text_is_no_traceback(tmp_path: Path, text: str) -> None:
    file = tmp_path / "description.yaml"
    file.write_text(text, encoding="utf-8", errors="replace")
    assert checked(file)


@FUZZED
@given(st.binary())
def test_any_bytes_are_no_traceback(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "description.yaml"
    file.write_bytes(content)
    assert checked(file)


@FUZZED
@given(
    st.sampled_from(
        [
            *places(GOOD),
            "sources/caCertificates",
            "sources/registries",
            "proxy",
            "proxy/http",
            "openPorts",
            f"{X86}/labels",
            f"{X86}/taints",
        ]
    ),
    ANYTHING,
)
@example(f"{X86}/flavor", "[/red]")
def test_anything_in_any_field_of_our_format_is_no_traceback(tmp_path: Path, path: str, value: object) -> None:
    checked(written(GOOD, spoiled(path, value), tmp_path))


@FUZZED
@given(st.sampled_from([*places(PROTOTYPE), "vm_types/x86/qemu-args"]), ANYTHING)
def test_anything_in_any_field_of_the_prototype_s_format_is_no_traceback(
    tmp_path: Path, path: str, value: object
) -> None:
    checked(written(PROTOTYPE, spoiled(path, value, PROTOTYPE), tmp_path))
