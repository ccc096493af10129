"""A stack's first file: what is chosen, what is refused, and what stands in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from keystoneauth1.exceptions import ConnectFailure, DiscoveryFailure
from openstack.exceptions import HttpException, SDKException
from rich.console import Console
from typer.testing import CliRunner

from q8s_infra import cli, init, stacks
from q8s_infra.cloud import Flavor, FoundImage, FoundNetwork, FoundSubnet, OpenStackCloud
from q8s_infra.prompts import Terminal
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import ClusterSpec, SpecErrors, load, read
from tests.unit.test_preflight import FLAVORS, SmallCloud

LAN = FoundSubnet("a" * 32, "lan", IPv4Network("10.254.1.0/24"))
WLAN = FoundSubnet("b" * 32, "wlan", IPv4Network("10.254.2.0/24"))
PRIVATE = FoundNetwork("0" * 32, "private", external=False, subnets=(LAN,))
PUBLIC = FoundNetwork(
    "1" * 32, "public", external=True, subnets=(FoundSubnet("c" * 32, "", IPv4Network("198.51.100.0/24")),)
)
EMPTY = FoundNetwork("2" * 32, "empty", external=False, subnets=())
DEBIAN = FoundImage("debian-12", "", "2026-03-01T00:00:00Z")
GIVEN = init.Given(
    "mine", control_plane_flavor="c1.small", worker_flavor="c1.medium", allowed_cidrs=("10.0.0.0/8", "192.0.2.7/32")
)
WORDS = [
    *("init", "--stack", "mine", "--control-plane-flavor", "c1.small", "--worker-flavor", "c1.medium"),
    *("--allowed-cidr", "10.0.0.0/8"),
]


@dataclass
class Site(SmallCloud):
    """A cloud that also says what it has."""

    zones: frozenset[str] = frozenset({"nova"})
    has_networks: tuple[FoundNetwork, ...] = (PRIVATE, PUBLIC, EMPTY)
    has_images: tuple[FoundImage, ...] = (DEBIAN, FoundImage("windows", "windows", "2026-04-01T00:00:00Z"))

    def networks(self) -> tuple[FoundNetwork, ...]:
        return self.has_networks

    def images(self) -> tuple[FoundImage, ...]:
        return self.has_images

    def flavors(self) -> dict[str, Flavor]:
        return FLAVORS


class NoDisks(Site):
    """A cloud in which two of three flavors have no disk of their own."""

    def flavors(self) -> dict[str, Flavor]:
        return {
            "c1.medium": FLAVORS["c1.medium"],
            "c1.small": replace(FLAVORS["c1.small"], disk_gib=0),
            "m1.large": Flavor(8, 8192, 0),
        }


@dataclass
class Last:
    """Takes the last that fits."""

    asked: list[str]

    def choose(self, question: init.Question) -> init.Candidate:
        self.asked.append(question.option)
        return question.fit[-1]

    def allowed_cidrs(self) -> tuple[IPv4Network, ...]:
        self.asked.append("--allowed-cidr")
        return (IPv4Network("192.0.2.0/24"),)


def refusals(given: init.Given, site: Site | None = None) -> list[str]:
    with pytest.raises(SpecErrors) as refused:
        init.decide(given, site or Site(), None)
    return [str(mistake) for mistake in refused.value.mistakes]


def loaded(text: str, tmp_path: Path) -> ClusterSpec:
    file = tmp_path / "Pulumi.mine.yaml"
    file.write_text(text)
    return load(read(file), "mine")


class TestChoice:
    def test_the_only_one_that_fits_is_taken(self) -> None:
        decision = init.decide(GIVEN, Site(), None)
        assert (decision.network.chosen.value, decision.network_field) == ("private", "name")
        assert decision.network.reason == "the only one that is a network with an IPv4 subnet and not external"
        assert decision.host_image.chosen.value == "debian-12"
        assert decision.user == "debian"
        assert decision.control_plane_flavor.reason == "as given"
        assert decision.external == ("public",)

    def test_all_that_is_missing_is_refused_at_once_with_what_could_be(self) -> None:
        site = Site(
            has_networks=(PRIVATE, replace(PRIVATE, id="3" * 32, name="other")),
            has_images=(DEBIAN, FoundImage("noble", "ubuntu", "2026-09-11T00:00:00Z")),
        )
        assert refusals(init.Given("mine"), site) == [
            "--network: is missing, name a network with an IPv4 subnet and not external: other (10.254.1.0/24), "
            "private (10.254.1.0/24)",
            "--host-image: is missing, name an image of Ubuntu or Debian: noble (of 2026-09-11), "
            "debian-12 (of 2026-03-01)",
            "--control-plane-flavor: is missing, name a flavor of at least 2 CPUs, 2048 MiB, 15 GiB: "
            "c1.small (2 CPUs, 2048 MiB, 20 GiB), c1.medium (2 CPUs, 4096 MiB, 40 GiB), "
            "c1.large (8 CPUs, 8192 MiB, 60 GiB)",
            "--worker-flavor: is missing, name a flavor of at least 2 CPUs, 2816 MiB, 26 GiB: "
            "c1.medium (2 CPUs, 4096 MiB, 40 GiB), c1.large (8 CPUs, 8192 MiB, 60 GiB)",
            "--allowed-cidr: is missing, name the IPv4 networks that may reach SSH and the API server from outside, "
            "such as 203.0.113.7/32 for a single address",
        ]

    def test_where_nothing_fits_it_says_what_there_is(self) -> None:
        (told,) = refusals(GIVEN, Site(has_networks=(PUBLIC, EMPTY)))
        assert told.startswith("--network: is missing, and nothing here is a network with an IPv4 subnet")
        assert told.endswith("there are: empty (no IPv4 subnet), public (external, 198.51.100.0/24)")

    @pytest.mark.parametrize(("change", "told"), [
        ({"stack": "../mine"}, "--stack: must be of lower-case letters"),
        ({"user": "Root!"}, "--user: must be a login"),
        ({"network": "lan"}, "--network: is not there, or more than one has this name"),
        ({"host_image": "bsd"}, "--host-image: is not there, or more than one has this name; an image of Ubuntu"),
        ({"worker_flavor": "m1.huge"}, "--worker-flavor: is not there"),
        ({"subnet": "wlan"}, "--subnet: is not there, or more than one has this name; an IPv4 subnet of the network:"),
        ({"zone": "az-1"}, "--zone: is not there, or more than one has this name; an availability zone that"),
        ({"host_image": "windows"}, "--user: is missing, name the login of the host image: ubuntu, debian"),
        ({"allowed_cidrs": ("10.0.0.1/8",)}, "--allowed-cidr: must be an IPv4 network, such as 203.0.113.7/32"),
    ])  # fmt: skip
    def test_what_can_not_be_is_refused_by_its_option(self, change: dict[str, Any], told: str) -> None:
        (mistake,) = refusals(replace(GIVEN, **change))
        assert mistake.startswith(told)

    def test_what_is_given_need_not_be_what_would_be_proposed(self) -> None:
        given = replace(GIVEN, network="public", host_image="windows", user="admin", worker_flavor="c1.small")
        decision = init.decide(given, Site(), None)
        assert [decision.network.chosen.value, decision.host_image.chosen.value] == ["public", "windows"]
        assert [decision.user, decision.worker_flavor.chosen.value] == ["admin", "c1.small"]

    def test_somebody_who_is_there_is_asked_for_what_is_open_and_for_nothing_else(self) -> None:
        last = Last([])
        decision = init.decide(init.Given("mine", control_plane_flavor="c1.small"), Site(), last)
        assert sorted(last.asked) == ["--allowed-cidr", "--worker-flavor"]
        assert decision.worker_flavor == init.Answer(
            init.Candidate("c1.large", "8 CPUs, 8192 MiB, 60 GiB"),
            "as chosen",
            ("c1.medium (2 CPUs, 4096 MiB, 40 GiB)",),
        )
        assert decision.allowed_cidrs == (IPv4Network("192.0.2.0/24"),)

    def test_a_network_whose_name_is_not_its_own_goes_by_its_id(self) -> None:
        twin = replace(PRIVATE, id="3" * 32)
        site = Site(has_networks=(PRIVATE, twin))
        assert refusals(replace(GIVEN, network="private"), site)[0].endswith(
            f"{PRIVATE.id} (private, 10.254.1.0/24), {twin.id} (private, 10.254.1.0/24) (given: 'private')"
        )
        decision = init.decide(replace(GIVEN, network=twin.id), site, None)
        assert (decision.network_field, decision.network.chosen.value) == ("id", twin.id)

    def test_of_several_subnets_one_is_asked_for(self) -> None:
        both = replace(PRIVATE, subnets=(WLAN, LAN))
        site = Site(has_networks=(both, replace(PRIVATE, id="3" * 32, name="one of one")))
        given = replace(GIVEN, network="private")
        assert refusals(given, site) == [
            "--subnet: is missing, name an IPv4 subnet of the network: lan (10.254.1.0/24), wlan (10.254.2.0/24)"
        ]
        last = Last([])
        decision = init.decide(replace(GIVEN, network=None), site, last)
        assert last.asked == ["--network", "--subnet"]
        assert decision.subnet == init.Answer(
            init.Candidate("wlan", "10.254.2.0/24"), "as chosen", ("lan (10.254.1.0/24)",)
        )
        for name in (LAN.name, LAN.id):
            answer = init.decide(replace(given, subnet=name), site, None).subnet
            assert answer
            assert answer.chosen.value == name
        assert init.decide(replace(GIVEN, network="one of one"), site, last).subnet is None
        assert last.asked == ["--network", "--subnet"]

    def test_subnets_that_share_a_name_go_by_their_ids(self) -> None:
        site = Site(has_networks=(replace(PRIVATE, subnets=(LAN, replace(WLAN, name="lan"))),))
        (told,) = refusals(replace(GIVEN, subnet="lan"), site)
        assert told == (
            "--subnet: is not there, or more than one has this name; an IPv4 subnet of the network: "
            f"{LAN.id} (lan, 10.254.1.0/24), {WLAN.id} (lan, 10.254.2.0/24) (given: 'lan')"
        )

    def test_of_several_availability_zones_one_is_asked_for(self) -> None:
        site = Site(zones=frozenset({"az-2", "az-1"}))
        assert refusals(GIVEN, site) == [
            "--zone: is missing, name an availability zone that instances can be in: az-1, az-2"
        ]
        last = Last([])
        decision = init.decide(GIVEN, site, last)
        assert last.asked == ["--zone"]
        assert decision.zone == init.Answer(init.Candidate("az-2"), "as chosen", ("az-1",))
        assert init.decide(GIVEN, Site(), last).zone is None

    def test_of_images_that_share_a_name_the_newest_is_proposed(self) -> None:
        site = Site(has_images=(replace(DEBIAN, created="2026-04-01T00:00:00Z"), DEBIAN))
        assert init.decide(GIVEN, site, None).host_image.chosen == init.Candidate("debian-12", "of 2026-04-01")
        ubuntu = FoundImage(DEBIAN.name, "ubuntu", "2026-05-01T00:00:00Z")
        assert init.decide(GIVEN, Site(has_images=(DEBIAN, ubuntu)), None).user == "ubuntu"

    def test_flavors_without_a_disk_come_last_and_only_where_there_are_volumes(self) -> None:
        site = NoDisks()
        told = refusals(replace(GIVEN, control_plane_flavor=None, worker_flavor=None), site)
        assert told[1].endswith(": c1.medium (2 CPUs, 4096 MiB, 40 GiB), m1.large (8 CPUs, 8192 MiB, no disk)")
        site.volumes = None
        assert init.decide(replace(GIVEN, worker_flavor=None), site, None).worker_flavor.chosen.value == "c1.medium"

    def test_an_image_is_what_it_says_before_what_its_name_says(self) -> None:
        site = Site(has_images=(FoundImage("like-debian", "ubuntu", "2026-03-01T00:00:00Z"),))
        assert init.decide(GIVEN, site, None).user == "ubuntu"

    def test_of_many_the_first_are_named(self) -> None:
        site = Site(has_networks=tuple(replace(PRIVATE, id=f"{n:032}", name=f"n{n:02}") for n in range(13)))
        (told,) = refusals(GIVEN, site)
        assert told.endswith("n09 (10.254.1.0/24), 3 more")


class TestFile:
    def test_it_is_the_shipped_cluster_on_what_was_chosen(self, tmp_path: Path) -> None:
        spec = loaded(init.text(init.decide(GIVEN, Site(), None), {}), tmp_path)
        shipped = load(read(REPOSITORY / "Pulumi.dev.yaml"), "dev")
        assert (spec.name, spec.network.name, spec.host_image.name) == ("mine", "private", "debian-12")
        assert [str(each) for each in spec.access.allowed_cidrs] == ["10.0.0.0/8", "192.0.2.7/32"]
        assert (spec.access.user, spec.control_planes.flavor) == ("debian", "c1.small")
        assert {each.flavor for each in spec.node_types.values()} == {"c1.medium"}
        assert spec.node_types == shipped.node_types
        assert (spec.workers, spec.guest_images) == (shipped.workers, shipped.guest_images)

    def test_subnet_and_zone_are_those_of_all_hosts(self, tmp_path: Path) -> None:
        site = Site(has_networks=(replace(PRIVATE, subnets=(LAN, WLAN)),), zones=frozenset({"az-1", "az-2"}))
        text = init.text(init.decide(replace(GIVEN, subnet="wlan", zone="az-2"), site, None), {})
        spec = loaded(text, tmp_path)
        assert (spec.network.name, spec.network.subnet) == ("private", "wlan")
        assert {each.availability_zone for each in (spec.control_planes, *spec.node_types.values())} == {"az-2"}
        lines = text.splitlines()
        at = lines.index("    # The subnet of new hosts' addresses: wlan (10.254.2.0/24), as given.")
        assert lines[at + 1 : at + 4] == ["    # Others that fit:", "    #   lan (10.254.1.0/24)", "    network:"]
        at = lines.index("    # The availability zone of new hosts, here and of each kind of workers: az-2, as given.")
        assert lines[at + 1 : at + 4] == ["    # Others that fit:", "    #   az-1", "    controlPlanes:"]

    def test_hosts_without_a_disk_boot_from_volumes(self, tmp_path: Path) -> None:
        decision = init.decide(replace(GIVEN, worker_flavor="m1.large"), NoDisks(), None)
        spec = loaded(init.text(decision, {}), tmp_path)
        volumes = [each.boot_volume for each in (spec.control_planes, *spec.node_types.values())]
        assert [str(each and each.size) for each in volumes] == ["15GiB", "26GiB", "26GiB"]
        assert all(
            each.boot_volume is None
            for each in loaded(init.text(init.decide(GIVEN, Site(), None), {}), tmp_path).node_types.values()
        )

    def test_comments_say_why_and_what_else_there_is(self) -> None:
        lines = init.text(init.decide(GIVEN, Site(), None), {}).splitlines()
        assert (
            "    # The network of all hosts: private (10.254.1.0/24), "
            "the only one that is a network with an IPv4 subnet and not external." in lines
        )
        at = lines.index(
            "    # Kinds of workers, all on hosts of one flavor: c1.medium (2 CPUs, 4096 MiB, 40 GiB), as given."
        )
        assert lines[at + 1 : at + 4] == [
            "    # Others that fit:", "    #   c1.large (8 CPUs, 8192 MiB, 60 GiB)", "    nodeTypes:"
        ]  # fmt: skip
        assert "    #   public" in lines

    @pytest.mark.parametrize(
        "name", ["my: net #1", "- x", "yes", "1", "a\n  b: c", "a\u2028b", "'\"", "{{ 1 }}", "ü ☸"]
    )
    def test_odd_names_are_kept_and_break_nothing(self, name: str, tmp_path: Path) -> None:
        odd = replace(PRIVATE, name=name)
        also = replace(PRIVATE, id="3" * 32, name=f"{name} too")
        site = Site(
            has_networks=(odd, also, replace(PUBLIC, name=name + "!")),
            has_images=(FoundImage(name, "ubuntu", "2026-03-01T00:00:00Z"),),
        )
        spec = loaded(init.text(init.decide(replace(GIVEN, network=name), site, None), {}), tmp_path)
        assert (spec.network.name, spec.host_image.name) == (name, name)

    def test_a_file_that_is_there_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "Pulumi.mine.yaml"
        assert init.kept(path, force=False) == {}
        path.write_text("config: {}\n")
        with pytest.raises(SpecErrors, match=r"Pulumi\.mine\.yaml: is there already, --force"):
            init.kept(path, force=False)
        with pytest.raises(FileExistsError):
            init.write(path, "other\n", force=False)
        assert path.read_text() == "config: {}\n"

    def test_by_force_only_the_cluster_is_another(self, tmp_path: Path) -> None:
        path = tmp_path / "Pulumi.mine.yaml"
        before = {
            "encryptionsalt": "v1:abc=:v1:def:ghi==",
            "config": {"q8s:cluster": {"name": "old"}, "q8s:clusterFile": "old.yaml", "openstack:cloud": "my: cloud"},
        }
        path.write_text(yaml.safe_dump(before))
        init.write(path, init.text(init.decide(GIVEN, Site(), None), init.kept(path, force=True)), force=True)
        after = yaml.safe_load(path.read_text())
        assert after["encryptionsalt"] == before["encryptionsalt"]
        assert after["config"].pop("q8s:cluster")["network"] == {"name": "private"}
        assert after["config"] == {"openstack:cloud": "my: cloud"}
        assert [each.name for each in tmp_path.iterdir()] == [path.name]

    @pytest.mark.parametrize("content", ["[1]", "config: 1", "a: b: c"])
    def test_what_nobody_understands_is_not_even_replaced_by_force(self, content: str, tmp_path: Path) -> None:
        path = tmp_path / "Pulumi.mine.yaml"
        path.write_text(content)
        with pytest.raises(SpecErrors, match="remove it"):
            init.kept(path, force=True)


class TestCommand:
    @pytest.fixture(autouse=True)
    def site(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
        monkeypatch.chdir(tmp_path)
        site = Site()
        monkeypatch.setattr(stacks, "connect", lambda _: site)
        return site

    def test_writes_checks_and_says_how_to_go_on(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(cli.cli, WORDS)
        assert result.exit_code == 0, result.output
        assert read(tmp_path / "Pulumi.mine.yaml")["cluster"]["network"] == {"name": "private"}
        for told in ("cluster mine", "instances", "pulumi stack init mine", "pulumi up"):
            assert told in result.output

    def test_what_is_missing_writes_nothing(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(cli.cli, ["init", "--stack", "mine"])
        assert result.exit_code == 1
        for option in ("--control-plane-flavor", "--worker-flavor", "--allowed-cidr"):
            assert f"error: {option}: is missing" in result.output
        assert not [*tmp_path.iterdir()]

    def test_a_file_that_is_there_stays(self, tmp_path: Path) -> None:
        (tmp_path / "Pulumi.mine.yaml").write_text("encryptionsalt: v1:abc\n")
        result = CliRunner().invoke(cli.cli, WORDS)
        assert result.exit_code == 1
        assert (tmp_path / "Pulumi.mine.yaml").read_text() == "encryptionsalt: v1:abc\n"
        assert CliRunner().invoke(cli.cli, [*WORDS, "--force"]).exit_code == 0
        assert "encryptionsalt: v1:abc\n" in (tmp_path / "Pulumi.mine.yaml").read_text()

    def test_what_does_not_fit_is_written_and_told(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(cli.cli, [*WORDS, "--worker-flavor", "c1.small"])
        assert result.exit_code == 1
        for name in ("x86-small", "arm-small"):
            assert f"error: nodeTypes.{name}.memory: does not fit flavor c1.small" in result.output
        assert "python -m q8s_infra check --stack mine" in result.output.replace("\n", " ")
        assert "pulumi up" not in result.output
        assert (tmp_path / "Pulumi.mine.yaml").exists()

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (HttpException("no one is home\nmore"), "no one is home"),
            (SDKException("of the client's own"), "of the client's own"),
            (ConnectFailure("Unable to establish connection to http://network"), "Unable to establish connection"),
            (DiscoveryFailure(), "Discovery of client versions failed"),
        ],
    )
    def test_a_cloud_that_does_not_answer_is_told_in_a_line(
        self, error: Exception, said: str, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> None:
            raise error

        monkeypatch.setattr(site, "networks", refuse)
        result = CliRunner().invoke(cli.cli, WORDS)
        assert (result.exit_code, type(result.exception)) == (1, SystemExit)
        assert result.output.startswith("error: OpenStack did not answer a request: ")
        assert said in result.output
        assert result.output.count("\n") == 1


class TestTerminal:
    def said(self, monkeypatch: pytest.MonkeyPatch, *lines: str) -> Terminal:
        answers = iter(lines)
        console = Console()
        monkeypatch.setattr(console, "input", lambda *_, **__: next(answers))
        return Terminal(console)

    def test_a_number_chooses(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        fit = (init.Candidate("one", "[1]"), init.Candidate("two"))
        question = init.Question("--network", "a network", fit, fit, None)
        assert self.said(monkeypatch, "3", "two", "2").choose(question) == fit[1]
        assert self.said(monkeypatch, "").choose(question) == fit[0]
        assert "1  one ([1])" in capsys.readouterr().out

    def test_networks_are_asked_for_until_they_are_right(self, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = self.said(monkeypatch, "", "everybody", "10.0.0.0/8, 192.0.2.0/24")
        assert terminal.allowed_cidrs() == (IPv4Network("10.0.0.0/8"), IPv4Network("192.0.2.0/24"))


def test_what_openstack_is_asked() -> None:
    network = {
        "subnets": [
            SimpleNamespace(network_id="a", ip_version=4, cidr="10.0.0.0/24", id="1", name="four"),
            SimpleNamespace(network_id="a", ip_version=6, cidr="fd00::/64", id="2", name="six"),
            SimpleNamespace(network_id="b", ip_version=4, cidr="10.1.0.0/24", id="3", name="other"),
        ],
        "networks": [SimpleNamespace(id="a", name="lan", is_router_external=None)],
    }
    images = [
        SimpleNamespace(name="noble", disk_format="qcow2", os_distro=None, created_at="2026-01-01T00:00:00Z"),
        SimpleNamespace(name="installer", disk_format="iso", os_distro="ubuntu", created_at="2026-01-01T00:00:00Z"),
    ]
    flavors = [
        SimpleNamespace(name="small", vcpus=1, ram=512, disk=0, is_disabled=False),
        SimpleNamespace(name="gone", vcpus=1, ram=512, disk=0, is_disabled=True),
    ]
    connection: Any = SimpleNamespace(
        network=SimpleNamespace(**{name: lambda found=found: found for name, found in network.items()}),
        image=SimpleNamespace(images=lambda status: images if status == "active" else []),
        compute=SimpleNamespace(flavors=lambda: flavors),
    )
    cloud = OpenStackCloud(connection)
    subnet = FoundSubnet("1", "four", IPv4Network("10.0.0.0/24"))
    assert [*cloud.networks()] == [FoundNetwork("a", "lan", external=False, subnets=(subnet,))]
    assert [*cloud.images()] == [FoundImage("noble", "", "2026-01-01T00:00:00Z")]
    assert cloud.flavors() == {"small": Flavor(1, 512, 0)}
