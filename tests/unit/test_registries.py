"""Container registries with mirrors, authorities and passwords of their own: as given, rendered and laid on hosts."""

from __future__ import annotations

import base64
import shutil
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from q8s_infra.fetched import fetched
from q8s_infra.plan import plan
from q8s_infra.render.seed import guest_files
from q8s_infra.render.sources import registry_files
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import ClusterSpec, load, read, validated
from tests.unit.certificate import authority
from tests.unit.hostscript import step
from tests.unit.rendered import identity
from tests.unit.specs import refused, spoiled

PASSWORD: Final = 'hünter2 "\\'
ENCODED: Final = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
CA: Final = authority("registry").pem
ALL: Final = "http://mirror:5000"
ACCOUNT: Final = {"username": "user", "password": PASSWORD}
SITE: Final[dict[str, dict[str, str]]] = {
    "docker.io": {"mirror": "https://harbor.example/v2/hub", "caCertificates": CA, **ACCOUNT},
    "registry.k8s.io": {"mirror": "https://harbor.example/k8s/"},
    "registry.example:5000": {"caCertificates": CA},
    "ghcr.io": ACCOUNT,
}
PULLED: Final = {"capabilities": ["pull", "resolve"]}
TOLD: Final = {"header": {"Authorization": f"Basic {ENCODED}"}}


def site(registries: dict[str, Any] = SITE, mirror: str = "") -> ClusterSpec:
    """A cluster whose images come from these."""
    return validated(spoiled("sources", {"registries": registries, **({"registryMirror": mirror} if mirror else {})}))


def hosts(spec: ClusterSpec) -> dict[str, Any]:
    """What containerd reads in each ``hosts.toml``, by its folder."""
    files = registry_files(spec).items()
    return {path.rpartition("/")[0]: tomllib.loads(text)["host"] for path, text in files if path.endswith(".toml")}


def test_each_registry_has_hosts_of_its_own() -> None:
    assert hosts(site(mirror=ALL)) == {
        "registry": {ALL: PULLED},
        "registry/docker.io": {
            "https://harbor.example/v2/hub": {**PULLED, "override_path": True, "ca": "ca.crt", **TOLD}
        },
        "registry/registry.k8s.io": {"https://harbor.example/k8s": PULLED},
        "registry/registry.example_5000_": {"https://registry.example:5000": {**PULLED, "ca": "ca.crt"}},
        "registry/ghcr.io": {"https://ghcr.io": {**PULLED, **TOLD}},
    }
    authorities = {path: text for path, text in registry_files(site()).items() if path.endswith(".crt")}
    assert authorities == {"registry/docker.io/ca.crt": CA, "registry/registry.example_5000_/ca.crt": CA}


def test_docker_io_itself_is_elsewhere() -> None:
    assert hosts(site({"docker.io": {"caCertificates": CA}})) == {
        "registry/docker.io": {"https://registry-1.docker.io": {**PULLED, "ca": "ca.crt"}}
    }


def test_a_mirror_of_all_registries_is_rendered_as_ever() -> None:
    assert registry_files(site({}, ALL)) == {
        "registry/hosts.toml": f'[host."{ALL}"]\n  capabilities = ["pull", "resolve"]\n'
    }
    assert registry_files(site({})) == {}


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("", False),
        ("/", False),
        ("/v2", True),
        ("/v2/hub", True),
        ("/hub/v2/", True),
        ("/hub", False),
        ("/v2hub", False),
    ],
)
def test_a_path_with_the_api_s_version_in_it_is_whole(path: str, whole: bool) -> None:
    ((url, given),) = hosts(site({"docker.io": {"mirror": f"https://m{path}"}}))["registry/docker.io"].items()
    assert url == f"https://m{path}".rstrip("/")
    assert given.get("override_path", False) == whole


def test_a_guest_has_the_same_and_only_root_reads_a_registry_s_own() -> None:
    spec = site(mirror=ALL)
    written, given = guest_files(spec), identity(spec, "guest")
    folder = "etc/containerd/certs.d"
    found = {it.path.lstrip("/"): (it.content, int(it.mode, 8)) for it in written} | {**given}
    found = {path.removeprefix(f"{folder}/"): it for path, it in found.items() if path.startswith(folder)}
    expected = {path.removeprefix("registry/"): text for path, text in registry_files(spec).items()}
    expected["_default/hosts.toml"] = expected.pop("hosts.toml")
    assert {path: content for path, (content, _) in found.items()} == expected
    assert {path for path, (_, mode) in found.items() if mode != 0o600} == {"_default/hosts.toml"}
    assert not [it.path for it in written if ENCODED in it.content], "a secret is in what all guests have"


@pytest.mark.parametrize(
    "given",
    [
        [SITE],
        {"ghcr.io": PASSWORD},
        {"ghcr.io": [ACCOUNT]},
        {"ghcr.io": {**ACCOUNT, "password": [PASSWORD]}},
        {"ghcr.io": {**ACCOUNT, "password": f"{PASSWORD}\n"}},
        {"ghcr.io": {**ACCOUNT, "mirror": "http://mirror"}},
        {"ghcr.io": {"password": PASSWORD}},
        {"ghcr.io": {"username": "user", "passwort": PASSWORD}},
        {"ghcr.io": {"username": f"user:{PASSWORD}", "password": PASSWORD}},
        {"ghcr.io": {"mirror": f"https://user:{PASSWORD}@mirror"}},
        {"ghcr.io": {"mirror": ACCOUNT}},
        {"ghcr.io": {"caCertificates": PASSWORD}},
        {"docker.io": ACCOUNT},
    ],
)
@pytest.mark.parametrize("field", ["registries", "registryMirror"])
def test_what_is_refused_is_told_without_the_password(given: Any, field: str) -> None:
    told = refused(spoiled(f"sources/{field}", given))
    assert told
    assert all(each.startswith(f"sources.{field}") for each in told)
    assert "nter2" not in "\n".join(told)


@pytest.mark.parametrize(("field", "given"), [("sources", [{"registries": SITE}]), ("sources/registries", PASSWORD)])
def test_what_is_no_mapping_is_not_shown_either(field: str, given: object) -> None:
    assert "nter2" not in "\n".join(refused(spoiled(field, given)))


def test_a_password_that_pulumi_has_encrypted_is_one(tmp_path: Path) -> None:
    encrypted = {"ghcr.io": {"username": "user", "password": {"secure": "v1:bm90aGluZw=="}}}
    file = tmp_path / "Pulumi.demo.yaml"
    file.write_text(yaml.safe_dump({"config": {"q8s:cluster": spoiled("sources/registries", encrypted)}}))
    assert load(read(file), "demo").sources.registries["ghcr.io"].secret


@pytest.mark.parametrize("given", [7, [], {"ghcr.io": 7}, {"ghcr.io": {"password": {"secure": "v1:a"}}}])
def test_what_is_encrypted_of_a_mistaken_description_is_no_traceback(tmp_path: Path, given: object) -> None:
    file = tmp_path / "Pulumi.demo.yaml"
    file.write_text(yaml.safe_dump({"config": {"q8s:cluster": spoiled("sources/registries", given)}}))
    assert refused(read(file)["cluster"])[0].startswith("sources.registries")


def test_images_are_told_to_be_where_they_are_then_fetched() -> None:
    def told(spec: ClusterSpec) -> dict[str, str]:
        images = [each for each in fetched(plan(spec)) if each.image]
        return {each.image.partition("/")[0]: each.url for each in images}

    k8s, hub = "registry.k8s.io", "docker.io"
    assert told(site({})) == {k8s: f"https://{k8s}", hub: "https://registry-1.docker.io"}
    assert told(site({}, ALL)) == {k8s: ALL, hub: ALL}
    assert told(site()) == {k8s: "https://harbor.example/k8s", hub: "https://harbor.example/v2/hub"}
    assert told(site({k8s: {"caCertificates": CA}}, ALL)) == {k8s: f"https://{k8s}", hub: ALL}


def test_a_host_s_registries_come_change_and_go(tmp_path: Path) -> None:
    laid = tmp_path / "certs.d"
    (laid / "own.example").mkdir(parents=True)
    (laid / "own.example/hosts.toml").write_text("by hand")

    def lay(spec: ClusterSpec) -> dict[str, str]:
        shutil.rmtree(tmp_path / "registry", ignore_errors=True)
        for path, text in registry_files(spec).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        script = REPOSITORY / "hostscripts/container-runtime.sh"
        done = step(tmp_path, "eval", f"source {script}; registry_hosts {laid}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        files = [path for path in laid.rglob("*") if path.suffix in (".toml", ".crt")]
        ours = [path for path in files if path.parent.name != "own.example"]
        assert {path.stat().st_mode & 0o777 for path in ours} <= {0o600}
        return {str(path.relative_to(laid)): path.read_text() for path in files}

    by_hand = {"own.example/hosts.toml": "by hand"}
    assert lay(site({})) == by_hand
    without = {**SITE, "docker.io": {**ACCOUNT, "mirror": "https://other.example"}}
    del without["ghcr.io"]
    for registries, mirror in ((SITE, ALL), (SITE, ALL), (without, ""), ({}, ALL), ({}, "")):
        spec = site(registries, mirror)
        expected = {path.removeprefix("registry/"): text for path, text in registry_files(spec).items()}
        if mirror:
            expected["_default/hosts.toml"] = expected.pop("hosts.toml")
        found = lay(spec)
        # The authorities that a registry had before stay, unnamed, until it goes.
        assert {path: text for path, text in found.items() if path.endswith(".toml")} == {
            **by_hand,
            **{path: text for path, text in expected.items() if path.endswith(".toml")},
        }
        assert expected.items() <= found.items()
    assert [path.name for path in laid.iterdir()] == ["own.example"]
