from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lab.mirrors.facts import Facts
from lab.site import TRIMMED, merged
from q8s_infra.arch import ARCHITECTURES
from q8s_infra.plan import plan
from q8s_infra.render.sources import apt_files, guest_apt_files, image_files
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import AptSource, ClusterSpec, Sources, SpecErrors, load, read, validated
from q8s_infra.spec.names import LONGEST_NAME
from q8s_infra.spec.reference import reference
from q8s_infra.spec.sources import KUBERNETES_KEY, Distribution
from q8s_infra.units import Period, Size
from tests.unit.rendered import shipped
from tests.unit.specs import DEBIAN, GOOD, KEYED, KEYLESS, MAINTAINED, UBUNTU, refused, spoiled

X86 = "nodeTypes/x86"


def test_the_good_one_is_good() -> None:
    assert validated(GOOD).name == "demo"


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:hunter2@proxy:3128",
        {"http": "socks5://user:hunter2@proxy:1080"},
        {"https": "http://user:hunter2@proxy"},
        {"htpp": "http://user:hunter2@proxy:3128"},
        {"http": ["http://user:hunter2@proxy:3128"]},
    ],
)
def test_a_mistaken_proxy_is_refused_without_its_password(proxy: object) -> None:
    (told,) = refused(spoiled("proxy", proxy))
    assert told.startswith("proxy")
    assert "hunter2" not in told


def test_a_proxy_needs_the_network_s_addresses() -> None:
    bad = spoiled(
        "proxy", {"https": "https://user:%40%25@proxy.example:3128/", "noProxy": ["::1", "10.0.0.0/8", ".a.b"]}
    )
    assert validated(bad).proxy.for_https == "https://user:%40%25@proxy.example:3128/"
    del bad["network"]["cidr"]
    (told,) = refused(bad)
    assert told.startswith("network.cidr: is missing")


def test_a_proxy_that_pulumi_has_encrypted_is_one(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.demo.yaml"
    encrypted = spoiled("proxy", {"http": {"secure": "v1:bm90aGluZw=="}, "noProxy": ["mirror"]})
    file.write_text(yaml.safe_dump({"config": {"q8s:cluster": encrypted}}))
    proxy = load(read(file), "demo").proxy
    assert proxy
    assert proxy.no_proxy == ("mirror",)


def kubernetes_source(sources: Mapping[str, object]) -> AptSource:
    """Kubernetes' packages by a description's sources."""
    return validated(spoiled("sources", sources)).sources.kubernetes_apt_of("1.34.4")


def test_the_kubernetes_key_is_known_by_its_fingerprint_unless_the_user_pins_another() -> None:
    default = kubernetes_source({})
    assert (default.key_fingerprints, default.key_sha256) == ((KUBERNETES_KEY,), None)
    assert default.key_url == "https://pkgs.k8s.io/core:/stable:/v1.34/deb/Release.key"
    listed = kubernetes_source({"kubernetesKeyFingerprints": ["aaaa " * 10, "b" * 40]})
    assert (listed.key_fingerprints, listed.key_sha256) == (("A" * 40, "B" * 40), None)
    summed = kubernetes_source({"kubernetesKeySha256": "c" * 64})
    assert (summed.key_fingerprints, summed.key_sha256) == ((), "c" * 64)
    given = kubernetes_source({"kubernetesApt": {**KEYED, "keyFingerprints": ["d" * 40]}})
    assert (given.uri, given.key_fingerprints) == ("http://m", ("D" * 40,))


def test_sources_may_be_left_out() -> None:
    assert validated(spoiled("sources", ...)) == validated(spoiled("sources", {}))


def test_the_reference_says_the_form_of_a_fingerprint() -> None:
    form = "list of: OpenPGP fingerprint, 40 hexadecimal digits"
    rows = [line.split(" | ") for line in reference().splitlines() if "Fingerprints` |" in line]
    assert [row[:2] for row in rows] == [["| `kubernetesKeyFingerprints`", form], ["| `keyFingerprints`", form]]


@pytest.mark.parametrize(
    ("uri", "archive", "distribution"),
    [
        ("http://deb.debian.org/debian-security", None, "debian"),
        ("http://archive.ubuntu.com/ubuntu", None, "ubuntu"),
        ("http://ports.ubuntu.com/ubuntu-ports", None, "ubuntu"),
        ("http://mirror.ubuntu.example/debian", None, "debian"),
        ("http://mirror/noble", None, "debian"),
        ("http://mirror/noble", "ubuntu", "ubuntu"),
    ],
)
def test_packages_without_a_key_are_checked_by_the_distribution(
    uri: str, archive: Distribution | None, distribution: str
) -> None:
    assert AptSource(uri=uri, suites=("a",), archive=archive).distribution == distribution


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_default_guests_packages_are_checked_by_the_distribution_of_their_image(name: str) -> None:
    sources = validated(spoiled("sources", {})).sources.guest_apt_of(name)
    assert all(source.distribution in ARCHITECTURES[name].image_url for source in sources)


ZEROS = "0" * 64
NO_IMAGE = f"zeros are a placeholder, write the image's checksum, the publisher's SHA256SUMS says it (given: '{ZEROS}')"
NO_KEY = (
    "zeros are a placeholder, write the checksum of the key's file, or pin the key by its fingerprints "
    f"(given: '{ZEROS}')"
)


def test_placeholders_are_refused_all_at_once_and_along_with_other_mistakes() -> None:
    zeros = {**KEYED, "keySha256": ZEROS}
    bad = spoiled("sources", {"hostApt": [zeros], "guestApt": {"arm64": [KEYLESS, zeros]}, "kubernetesApt": zeros})
    for image in bad["guestImages"].values():
        image["sha256"] = ZEROS
    bad["controlPlanes"]["count"] = 0
    assert [mistake for mistake in refused(bad) if not mistake.startswith("controlPlanes.count: ")] == [
        f"guestImages.x86_64.sha256: {NO_IMAGE}",
        f"guestImages.arm64.sha256: {NO_IMAGE}",
        f"sources.hostApt.0.keySha256: {NO_KEY}",
        f"sources.guestApt.arm64.1.keySha256: {NO_KEY}",
        f"sources.kubernetesApt.keySha256: {NO_KEY}",
    ]
    assert len(refused(bad)) == 6
    assert refused(spoiled("sources/kubernetesKeySha256", ZEROS)) == [f"sources.kubernetesKeySha256: {NO_KEY}"]


def test_workers_of_no_type_are_named_once_and_along_with_a_missing_checksum() -> None:
    bad = spoiled("workers/tape", 1)
    told = "workers.tape: no such node type, there are arm, x86"
    assert refused(bad) == [told]
    del bad["guestImages"]["arm64"]["sha256"]
    missing = "guestImages.arm64.sha256: is missing, and only Ubuntu's images have a signature that says it"
    assert refused(bad) == [missing, told]


@pytest.mark.parametrize("folder", ["release-20260911", "release-20260911.1", "20260911"])
@pytest.mark.parametrize("base", [UBUNTU, "http://mirror/debian-and-ubuntu", "file:///srv/ubuntu"])
def test_a_dated_release_of_ubuntu_needs_no_checksum_and_is_known_by_its_address(base: str, folder: str) -> None:
    url = f"{base}/{folder}/ubuntu-24.04-server-cloudimg-amd64.img"
    image = validated(spoiled("guestImages/x86_64", {"url": url})).guest_images["x86_64"]
    assert image.identity == url
    (keyring,) = image_files(image).values()
    assert keyring == "ubuntu-keyring /usr/share/keyrings/ubuntu-cloudimage-keyring.gpg\n"


@pytest.mark.parametrize("url", [f"{UBUNTU}/release/a.img", f"{UBUNTU}/release-20260911/a.img", f"{DEBIAN}/a.qcow2"])
def test_an_image_with_a_checksum_needs_nothing_else_and_is_known_by_it(url: str) -> None:
    image = validated(spoiled("guestImages/x86_64", {"url": url, "sha256": "a" * 64})).guest_images["x86_64"]
    assert image.identity == "a" * 16
    assert not image_files(image)


def test_an_image_that_moves_is_refused_with_both_ways_out() -> None:
    (told,) = refused(spoiled("guestImages/arm64", {"url": f"{UBUNTU}/release/a.img"}))
    assert told == (
        f"guestImages.arm64.url: {UBUNTU}/release/a.img has an image that moves, as no date is in it: "
        "take a dated release (.../release-20260911/...) or give sha256"
    )


def test_an_image_that_is_not_given_is_a_dated_release_that_its_publisher_signed() -> None:
    image = validated(spoiled("guestImages/arm64", ...)).guest_image("arm64")
    assert validated(spoiled("guestImages/arm64", {"url": image.url})).guest_image("arm64") == image
    assert image.sha256 is None


def test_a_checksum_may_have_many_zeros() -> None:
    assert validated(spoiled("guestImages/x86_64/sha256", f"{'0' * 63}1"))


def test_defaults_come_from_the_architecture() -> None:
    arm = validated(GOOD).node_types["arm"]
    assert (arm.cpu_model, arm.machine) == ("cortex-a57", "virt")


@pytest.mark.parametrize(("alias", "name"), [("arm_64", "arm64"), ("aarch64", "arm64"), ("amd64", "x86_64")])
def test_an_architecture_goes_by_its_other_names(alias: str, name: str) -> None:
    bad = spoiled(f"{X86}/architecture", alias)
    bad["nodeTypes"]["x86"].pop("cpuModel")
    assert validated(bad).node_types["x86"].architecture == name


def test_names_and_order_of_nodes() -> None:
    planned = plan(validated(GOOD))
    assert [node.name for node in planned.nodes] == ["demo-control-plane-0", "demo-arm-0", "demo-arm-1", "demo-x86-0"]


def test_an_even_number_of_control_planes_is_warned_of() -> None:
    assert "majority" in plan(validated(spoiled("controlPlanes/count", 2))).warnings[0]
    assert not plan(validated(spoiled("controlPlanes/count", 3)), MAINTAINED).warnings


@pytest.mark.parametrize("form", ["paper", "published"])
def test_the_same_cluster_in_both_formats_is_the_same_plan(form: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(PROTOTYPE if form == "paper" else PUBLISHED)
    rest = {name: GOOD[name] for name in ("name", "guestImages", "sources")}
    theirs = load({"clusterFile": "cluster.yaml", "cluster": rest}, "demo", base=tmp_path)
    ours = load({"cluster": {**yaml.safe_load(OURS), **rest}}, "demo")
    assert plan(theirs) == plan(ours)


def test_the_shipped_prototype_file_is_the_shipped_stacks_cluster() -> None:
    stack = shipped("prototype")
    rest = {"access": stack["access"], "guestImages": stack["guestImages"]}
    theirs = load({"clusterFile": "clusters/prototype.yaml", "cluster": rest}, "prototype", base=REPOSITORY)
    ours = load({"cluster": stack}, "prototype")
    assert theirs.node_types == ours.node_types
    assert theirs.workers == ours.workers
    assert plan(theirs).workers[0].name == plan(ours).workers[0].name
    assert [node.flavor for node in plan(theirs).nodes] == [node.flavor for node in plan(ours).nodes]


@pytest.mark.parametrize("shape", ["dev", "prototype", "mixed"])
def test_shipped_stacks_are_without_mistakes_and_without_checksums(shape: str) -> None:
    found = plan(load(read(REPOSITORY / f"Pulumi.{shape}.yaml"), shape, base=REPOSITORY))
    assert found.spec.guest_images == {}
    assert {worker.architecture.name for worker in found.workers} == {"x86_64", "arm64"}
    assert (found.spec.sources, found.spec.sources.kubernetes_apt_of("1.34.4").key_sha256) == (Sources(), None)


@pytest.mark.parametrize("shape", ["dev", "prototype", "mixed"])
def test_a_shipped_stack_in_the_lab_has_the_default_sources_and_the_labs_keys(shape: str) -> None:
    stack = read(REPOSITORY / f"Pulumi.{shape}.yaml")["cluster"]
    lab = Facts("C" * 40, {TRIMMED["x86_64"]: "a" * 64, TRIMMED["arm64"]: "b" * 64})
    spec = validated(merged({**stack, "name": shape}, lab))
    default = Sources().kubernetes_apt_of(spec.kubernetes.version)
    used = spec.sources.kubernetes_apt_of(spec.kubernetes.version)
    assert used == default.model_copy(update={"key_fingerprints": ("C" * 40,)})
    assert (spec.sources.host_apt, spec.sources.registry_mirror) == ((), None)
    for files in (apt_files(spec, kubernetes=True), *(guest_apt_files(spec, name) for name in ("x86_64", "arm64"))):
        assert [line.split()[0] for line in files["apt/keys"].splitlines()] == ["C" * 40]
    # Debian's own keys check the guests' packages.
    assert guest_apt_files(spec, "arm64")["apt/keyrings"].startswith("debian-archive-keyring ")
    assert {name: image.sha256 for name, image in spec.guest_images.items()} == {"x86_64": "a" * 64, "arm64": "b" * 64}


PROTOTYPE = """!ClusterData
git_url: https://example.org/q8s.git
private_network_id: 0123456789abcdef0123456789abcdef
remote_ip_prefix: 10.254.1.0/24
default_image_name: Ubuntu 22.04
name_of_initial_instance: first
security_groups: [default, q8s-cluster]
required_tcp_ports: [6443, 10250]
required_udp_ports: [8472]
worker_port_range_min: 30000
worker_port_range_max: 32767
master_node_flavor: c1.medium
number_additional_master_nodes: 1
worker: {x86-small: 1, arm-mid: 1}
vm_types:
  x86-small: !VmType
    {architecture: x86_64, num_cpus: 2, cpu_model: EPYC-Rome, machine_model: virt,
     ram: 2048, storage: 10, openstack_flavor: c1.medium}
  arm-mid: !VmType
    {architecture: arm_64, num_cpus: 6, cpu_model: cortex-a57, machine_model: virt,
     ram: 4096, storage: 20, openstack_flavor: c1.large}
"""
# The form in which the prototype's file was published.
PUBLISHED = """!ClusterData
git_url: "https://example.org/q8s.git"
private_network_id: 0123456789abcdef0123456789abcdef
remote_ip_prefix: "10.254.1.0/24"
default_image_name: "Ubuntu 22.04"
name_of_initial_instance: "first"
security_groups:
- "default"
- "q8s-cluster"
required_tcp_ports:
- 6443
- 10250
required_udp_ports:
- 8472
worker_port_range_min: 30000
worker_port_range_max: 32767
cluster_definition: !ClusterDefinition
  master_node_flavor: "c1.medium"
  number_additional_master_nodes: 1
  worker:
    x86-small: 1
    arm-mid: 1
vm_types: !VmTypes

  types:
    x86-small: !VmType
      architecture: "x86_64"
      num_cpus: 2
      cpu_model: "EPYC-Rome"
      machine_model: "virt"
      ram: 2048
      storage: 10
      openstack_flavor: "c1.medium"
      qemu_args: "qemu-args"
    arm-mid: !VmType
      architecture: "arm_64"
      num_cpus: 6
      cpu_model: "cortex-a57"
      machine_model: "virt"
      ram: 4096
      storage: 20
      openstack_flavor: "c1.large"
      qemu-args: ""
"""
OURS = """
network: {id: 0123456789abcdef0123456789abcdef, cidr: 10.254.1.0/24}
hostImage: {name: Ubuntu 22.04}
controlPlanes: {flavor: c1.medium, count: 2, name: first}
securityGroups: [default]
openPorts: {tcp: [6443, 10250, 30000-32767], udp: [8472], cidr: 10.254.1.0/24}
nodePorts: 30000-32767
nodeTypes:
  x86-small: {architecture: x86_64, cpus: 2, cpuModel: EPYC-Rome, memory: 2GiB, disk: 10GiB, flavor: c1.medium}
  arm-mid: {architecture: arm64, cpus: 6, cpuModel: cortex-a57, memory: 4GiB, disk: 20GiB, flavor: c1.large}
workers: {x86-small: 1, arm-mid: 1}
"""


@given(st.integers(1, 10**6), st.sampled_from(["KiB", "MiB", "GiB", "TiB", "KB", "MB", "GB", "TB"]))
def test_a_size_survives_writing_and_reading(number: int, unit: str) -> None:
    size = Size.parse(f"{number}{unit}")
    assert Size.parse(str(size)) == size


@given(st.integers(1, 10**4), st.sampled_from(["h", "d"]))
def test_a_period_survives_writing_and_reading(number: int, unit: str) -> None:
    period = Period.parse(f"{number}{unit}")
    assert Period.parse(str(period)) == period


DNS_LABEL = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@given(st.from_regex(DNS_LABEL, fullmatch=True).filter(lambda name: len(f"{name}-control-plane-0") <= LONGEST_NAME))
@example("a" * (LONGEST_NAME - len("-control-plane-0")))
def test_any_dns_label_is_taken_as_a_name(name: str) -> None:
    assert validated({**GOOD, "name": name}).name == name


@given(st.text(st.sampled_from("aZ09-_.\nä")).filter(lambda name: not DNS_LABEL.fullmatch(name)))
@example("a-")
@example("a\n")
@example("a" * 64)
def test_any_other_text_is_no_name(name: str) -> None:
    with pytest.raises(SpecErrors, match="name: "):
        validated({**GOOD, "name": name})


def test_a_spec_survives_writing_and_reading() -> None:
    spec = validated(GOOD)
    assert ClusterSpec.model_validate(spec.model_dump(mode="json", by_alias=True)) == spec
