"""The report of outdated pins: what it finds in this repository, and what it does with registries' answers."""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import lab.cli
from lab.artifact import REPOSITORY
from lab.outdated import gomod, registries, report, requirements
from lab.outdated.ordering import newest, release
from lab.outdated.pin import Pin
from lab.outdated.pins import pins
from lab.outdated.registries import Answer, Registry, ask_all
from tests.unit.hostscript import stand_in

NO_PINS = {
    "q8s_infra/versions.py": {"OLDEST_MINOR"},
    "lab/versions.py": {"HOST_NAMESERVER", "PACKAGE_REVISION", "GO_BUILD_DATE"},
}
"""Constants that no newer release in a registry is a reason to raise."""
BUILT = {
    "cni-flannel": {"github.com/containernetworking/plugins"},
    "cni-plugins": {"github.com/containernetworking/plugins"},
    "coredns": {"github.com/coredns/coredns"},
    "etcd": {f"go.etcd.io/etcd/{name}/v3" for name in ("server", "etcdctl", "etcdutl")},
    "flannel": {"github.com/flannel-io/flannel"},
    "guest-init": {"golang.org/x/sys"},
    "kubernetes": {"k8s.io/kubernetes"},
    "pause": set(),
    "pulumi": {"github.com/pulumi/pulumi/pkg/v3", "github.com/tgummerer/clipboard"},
    "pulumi-resource-openstack": {
        "github.com/pulumi/pulumi-terraform-bridge/v3",
        "github.com/pulumi/pulumi/sdk/v3",
        "github.com/pulumi/terraform-plugin-sdk/v2",
        "github.com/terraform-provider-openstack/terraform-provider-openstack/v3",
    },
}
PIN = Pin("Kubernetes", "Kubernetes", "1.34.4", ("q8s_infra/versions.py",), "go", "k8s.io/kubernetes")


def pinned_in(file: str) -> list[Pin]:
    return [pin for pin in pins() if file in pin.files]


def strings(node: ast.AST) -> set[str]:
    """The values of a constant: of a mapping, those and not its keys."""
    values = node.values if isinstance(node, ast.Dict) else [node]
    return {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}


@pytest.mark.parametrize("file", NO_PINS)
def test_each_version_constant_is_in_the_report(file: str) -> None:
    constants = {
        node.target.id: strings(node.value)
        for node in ast.parse((REPOSITORY / file).read_text()).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
    }
    assert constants.keys() >= NO_PINS[file]
    reported = {release(pin.version) or pin.version for pin in pinned_in(file)}
    for name, values in constants.items():
        if name not in NO_PINS[file]:
            assert values, name
            assert {release(value) or value for value in values} <= reported, name


@pytest.mark.parametrize("file", sorted((REPOSITORY / "lab/go").glob("*/go.mod")), ids=lambda file: file.parent.name)
def test_each_go_module_that_is_built_is_in_the_report(file: Path) -> None:
    found = dict(gomod.direct(file))
    # Folders of further releases are named by them.
    assert found.keys() == BUILT[re.sub(r"-[0-9.]+$", "", file.parent.name)]
    pinned = {release(pin.version) or pin.version for pin in pinned_in(str(file.relative_to(REPOSITORY)))}
    for module, version in found.items():
        assert f"{module} {version}" in file.read_text()
        assert (release(version) or version.removeprefix("v")) in pinned


def test_direct_requirements_in_blocks_and_alone_are_found(tmp_path: Path) -> None:
    file = tmp_path / "go.mod"
    file.write_text(
        "module m\n\ngo 1.26\n\nrequire a.b/alone v1.0.0\n\nrequire (\n\ta.b/c/v2 v2.1.0\n\t// why\n"
        "\ta.b/c v1.5.0 // indirect\n\ta.b/with v0.1.0 // indirect\n)\n\ntool a.b/c/cmd/x\n\n"
        "replace a.b/with => ./folder\n\nreplace (\n\ta.b/alone => a.b/alone v1.0.1\n\ta.b/d => a.b/fork v1.2.3\n)\n"
    )
    assert gomod.direct(file) == [
        ("a.b/alone", "v1.0.0"),
        ("a.b/c", "v1.5.0"),
        ("a.b/c/v2", "v2.1.0"),
        ("a.b/fork", "v1.2.3"),
    ]


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_each_python_requirement_is_in_the_report(name: str) -> None:
    lines = (REPOSITORY / f"{name}.in").read_text().splitlines()
    asked = [re.split(r"[=<>\[]", line)[0].lower() for line in lines if line and line[0] not in "#-"]
    assert len(asked) > 10
    found = {pin.asked: pin.version for pin in pins() if pin.registry == "pip"}
    for package in asked:
        pattern = rf"^{package}=={re.escape(found[package])}( |$)"
        assert re.search(pattern, (REPOSITORY / f"{name}.txt").read_text(), re.MULTILINE), package


def test_each_package_of_the_lab_s_openstack_is_in_the_report() -> None:
    text = (REPOSITORY / "lab/openstack/requirements.txt").read_text()
    count = sum("==" in line and not line.startswith(" ") for line in text.splitlines())
    found = pinned_in("lab/openstack/requirements.txt")
    assert len(found) == count > 100
    assert {pin.asked for pin in found if pin.registry} == {
        *("keystone", "glance", "nova", "neutron", "openstack-placement", "cinder"),
    }


def test_a_version_in_several_files_is_one_pin() -> None:
    (kubernetes,) = [pin for pin in pins() if pin.name == "Kubernetes"]
    assert kubernetes.files == ("q8s_infra/versions.py", "lab/go/kubernetes/go.mod")
    (command,) = [pin for pin in pins() if pin.asked == "pulumi-command"]
    assert command.files == ("lab/versions.py", "requirements.in")


def test_kinds_are_together() -> None:
    kinds = [kind for kind, _ in groupby(pins(), key=lambda pin: pin.kind)]
    assert len(kinds) == len(set(kinds))


def test_a_file_of_requirements_may_ask_for_extras(tmp_path: Path) -> None:
    (tmp_path / "a.in").write_text("-c b.txt\n# why\nFoo_bar[x,y]==1.0\nbaz>=2,<3\n")
    assert requirements.named(tmp_path / "a.in") == {"foo-bar": True, "baz": False}


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["v1.9.0", "v1.10.0", "v1.2.0"], "1.10.0"),
        (["v1.37.2", "v1.38.0-beta.0", "v1.38.0-alpha.1", "v1.38.0-rc.1"], "1.37.2"),
        (["2.0.0", "2.1.0rc1", "2.1.0b2", "2.1.0.dev3", "2.1.0a1"], "2.0.0"),
        (["v1.5.1-flannel1", "v1.5.1-flannel2", "v1.5.1-flannel10"], "1.5.1-flannel10"),
        (["1.2", "1.2.post1"], "1.2.post1"),
        (["v2.0.0+incompatible", "v1.9.0"], "2.0.0+incompatible"),
        (["v0.0.0-20241001131231-d02d263e614e"], None),
        (["v2.0.1-0.20260318212141-5525259d096b", "v2.0.0"], "2.0.0"),
        ([], None),
    ],
)
def test_newest_release(versions: list[str], expected: str | None) -> None:
    assert newest(versions) == expected


def test_newest_patch_is_of_the_same_minor() -> None:
    served = ["v1.34.4", "v1.34.10", "v1.34.11-rc.0", "v1.35.4", "v1.3.9"]
    assert newest(served, same_minor_as="1.34.4") == "1.34.10"
    assert newest(served, same_minor_as="1.33.1") is None


def test_numbers_that_are_left_out_are_zero() -> None:
    assert release("v1.10") == release("1.10.0") == release("1.10.0-0")


@pytest.mark.parametrize(
    ("version", "served", "state", "newest_patch"),
    [
        ("1.34.4", ("v1.34.4", "v1.34.5", "v1.37.2"), "older", "1.34.5"),
        ("1.37.2", ("v1.34.4", "v1.37.2"), "newest", "1.37.2"),
        ("1.37.2", ("v1.34.4",), "newer", None),
        ("1.38.0-beta.0", ("v1.37.2",), "not compared", None),
    ],
)
def test_state_of_a_pin(version: str, served: tuple[str, ...], state: str, newest_patch: str | None) -> None:
    row = report.compare(
        Pin(PIN.kind, PIN.name, version, PIN.files, "go", PIN.asked), {("go", PIN.asked): Answer(served)}
    )
    assert (row.state, row.newest_patch) == (state, newest_patch)


def client(folder: Path, does: str, seconds: float = 20) -> Registry:
    """A registry whose client is a stand-in."""
    stand_in(folder, "client", does)
    return Registry((str(folder / "client"),), str.split, seconds=seconds)


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("exit 3", "exit code 3"),
        ("echo", "the registry lists no version"),
        ("echo 'ERROR: No matching distribution found for x' >&2; exit 1", "No matching distribution found for x"),
        (
            "echo 'go: module x: reading https://user:secret@registry.example/x/@v/list: 403 Forbidden' >&2; exit 1",
            "403 Forbidden",
        ),
    ],
)
def test_a_failed_lookup_has_a_reason(tmp_path: Path, does: str, reason: str) -> None:
    assert client(tmp_path, does).ask("x", tmp_path) == Answer(reason=reason)


def test_a_missing_client_is_a_reason(tmp_path: Path) -> None:
    assert Registry(("/nowhere/go",), str.split).ask("x", tmp_path) == Answer(reason="/nowhere/go can't be started")


def test_a_registry_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    slow = client(tmp_path, f'echo "$1" >>{tmp_path}/asked; exec sleep 60', seconds=0.5)
    names = [("slow", str(number)) for number in range(20)]
    began = time.monotonic()
    said: list[str] = []
    answers = ask_all({"slow": slow}, names, said.append)
    assert time.monotonic() - began < 20
    # Those that ran side by side when the second one reached its limit, and none after.
    asked = (tmp_path / "asked").read_text().split()
    assert len(asked) <= 2 * registries.SIDE_BY_SIDE
    reasons = [answers[name].reason for name in names]
    assert reasons.count("no answer within 0.5 s") == len(asked)
    assert sum(reason.startswith("not asked: ") for reason in reasons) == len(names) - len(asked)
    assert len(said) == len(names)


def test_the_clients_outputs_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "go", 'echo "$4 v1.0.0 v1.1.0"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert registries.go(20).ask("a.b/c", tmp_path).versions == ("v1.0.0", "v1.1.0")
    stand_in(tmp_path, "pip", "echo 'x (2.0)'; echo 'Available versions: 2.0, 1.0'; echo '  LATEST: 2.0'")
    pip = registries.pip(20)
    pip.command = (str(tmp_path / "pip"),)
    assert pip.ask("x", tmp_path).versions == ("2.0", "1.0")


def rows(answer: Answer) -> list[report.Row]:
    found = pins()
    answers: Mapping[tuple[str, str], Answer] = {(pin.registry, pin.asked): answer for pin in found if pin.registry}
    return [report.compare(pin, answers) for pin in found]


@pytest.mark.parametrize("answer", [Answer(("v99.123.456",)), Answer(reason="no answer within 60 s")])
def test_the_table_fits_80_columns(answer: Answer) -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(report.table(rows(answer)))
    text = captured.get()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert re.search(r"\b[0-9]+ others\b", text)


def test_the_report_exits_0_without_any_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(seconds: float) -> Registry:
        return client(tmp_path, f"echo 'ERROR: unreachable after {seconds:g}' >&2; exit 1")

    monkeypatch.setattr(registries, "SIDE_BY_SIDE", 1)
    for name in ("go", "pip"):
        monkeypatch.setattr(registries, name, unreachable)
    done = CliRunner().invoke(lab.cli.cli, ["outdated", "--json", "--seconds", "5"])
    assert done.exit_code == 0, done.output
    listed: Sequence[dict[str, object]] = json.loads(done.stdout)
    assert len(listed) == len(pins())
    assert {row["state"] for row in listed} == {"no answer", "not asked"}
    assert {row["reason"] for row in listed if row["registry"]} == {"unreachable after 5"}


def test_wrong_usage_is_an_error() -> None:
    assert CliRunner().invoke(lab.cli.cli, ["outdated", "--seconds", "never"]).exit_code == 2
