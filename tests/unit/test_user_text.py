"""Any text of a user's is refused, or stands in every document just as it was given."""

from __future__ import annotations

import base64
import re
import tomllib
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from q8s_infra.defaults import LOOPBACK
from q8s_infra.plan import plan
from q8s_infra.render import kubeadm
from q8s_infra.render.domain import domain_xml
from q8s_infra.render.node import authorized_keys
from q8s_infra.render.proxy import apt_proxy, proxy_files
from q8s_infra.render.seed import seed
from q8s_infra.render.sources import apt_files, registry_files
from q8s_infra.spec import ClusterSpec, SpecErrors, validated
from tests.unit.specs import GOOD, KEYLESS, spoiled

WORDS = (
    "null",
    "~",
    "on",
    "off",
    "yes",
    "no",
    "true",
    "y",
    "1e3",
    "0x1f",
    "010",
    "1_0",
    ".inf",
    "2001-01-01",
    "<<",
    "=",
)
BREAKING = (
    "\0",
    "\n",
    "\r\n",
    "\t",
    "\x85",
    "\u2028",
    "\ufeff",
    "'",
    '"',
    "\\",
    "#",
    ": ",
    "- ",
    "{{ 1 }}",
    "$(id)",
    "%s",
    "]",
)
TEXTS = (
    st.sampled_from(WORDS)
    | st.text(max_size=12)
    | st.lists(st.sampled_from([*WORDS, *BREAKING, "a", "key", " "]), max_size=5).map("".join)
)
FUZZED = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def taken(path: str, value: Any, good: dict[str, Any] = GOOD) -> ClusterSpec | None:
    """A description with this in a field; None where it is refused."""
    try:
        return validated(spoiled(path, value, good))
    except SpecErrors:
        return None


@pytest.mark.parametrize("user", ["null", "on", "off", "yes", "no", "y", "n", "true", "false", "_", "e3", "none"])
def test_a_login_that_yaml_has_another_meaning_for_is_a_login(user: str) -> None:
    spec = validated(spoiled("access/user", user))
    (found,) = yaml.safe_load(seed(spec, authorized_keys=[])["seed/user-data"])["users"]
    assert found["name"] == user


@FUZZED
@given(TEXTS)
def test_logins(user: str) -> None:
    if spec := taken("access/user", user):
        (found,) = yaml.safe_load(seed(spec, authorized_keys=[])["seed/user-data"])["users"]
        assert found["name"] == user
        assert authorized_keys(spec)["access/user"] == user
        assert re.fullmatch(r"[a-z0-9_-]+", user)


@FUZZED
@given(TEXTS)
@example("a \"b\" 'c' #d: e {{ f }}")
def test_keys_with_any_comment(comment: str) -> None:
    if spec := taken("access/sshPublicKeys", [f"ssh-ed25519 AAAA {comment}"]):
        keys = [f"ssh-ed25519 AAAA {comment}".strip()]
        user_data = seed(spec, authorized_keys=spec.access.ssh_public_keys)["seed/user-data"]
        (found,) = yaml.safe_load(user_data)["users"]
        assert found["ssh_authorized_keys"] == keys
        assert authorized_keys(spec)["access/keys"] == f"{keys[0]}\n"
        assert "\n" not in keys[0]


@FUZZED
@given(st.lists(TEXTS, min_size=1, max_size=3))
@example(["-d", '<a href="\'">&amp;'])
def test_words_for_the_emulator(words: list[str]) -> None:
    if spec := taken("nodeTypes/x86/qemuArgs", words):
        worker = next(each for each in plan(spec).workers if each.type_name == "x86")
        arguments = ET.fromstring(domain_xml(worker)).iter("{http://libvirt.org/schemas/domain/qemu/1.0}arg")
        assert [each.get("value") for each in arguments] == words


@FUZZED
@given(TEXTS)
def test_checks_to_pass_over(text: str) -> None:
    if spec := taken("kubernetes/ignorePreflightErrors", [text]):
        written = kubeadm.init_configuration(spec, node="n", address=LOOPBACK, names=[])
        init = next(yaml.safe_load_all(written))
        assert init["nodeRegistration"]["ignorePreflightErrors"] == [text]
        assert text in yaml.safe_load(kubeadm.upgrade_configuration(spec))["apply"]["ignorePreflightErrors"]


@FUZZED
@given(TEXTS)
@example("x y")
def test_sources_of_packages(text: str) -> None:
    sources = [
        {**KEYLESS, "uri": f"http://m/{text}"},
        {**KEYLESS, "suites": [text]},
        {**KEYLESS, "components": [text]},
    ]
    for source in sources:
        if spec := taken("sources/hostApt", [source]):
            lines = apt_files(spec, kubernetes=False)["apt/host/q8s-0.sources"].splitlines()
            fields = dict(line.split(": ", 1) for line in lines)
            wanted = {"components": ["main"], **source}
            assert fields["URIs"] == wanted["uri"]
            assert fields["Suites"].split() == wanted["suites"]
            assert fields["Components"].split() == wanted["components"]


@FUZZED
@given(TEXTS)
@example('"]\na = "')
def test_mirrors_of_registries(text: str) -> None:
    url = f"http://m/{text}"
    if spec := taken("sources/registryMirror", url):
        assert list(tomllib.loads(registry_files(spec)["registry/hosts.toml"])["host"]) == [url]
    if spec := taken("sources/registries", {"a.b": {"mirror": url}}):
        assert list(tomllib.loads(registry_files(spec)["registry/a.b/hosts.toml"])["host"]) == [url.rstrip("/")]


@FUZZED
@given(TEXTS, TEXTS)
@example('"', "\\")
def test_logins_of_registries(username: str, password: str) -> None:
    if spec := taken("sources/registries", {"a.b": {"username": username, "password": password}}):
        (host,) = tomllib.loads(registry_files(spec)["registry/a.b/hosts.toml"])["host"].values()
        scheme, _, encoded = host["header"]["Authorization"].partition(" ")
        assert (scheme, base64.b64decode(encoded).decode()) == ("Basic", f"{username}:{password}")


@FUZZED
@given(TEXTS)
@example("a%22b")
def test_proxies(text: str) -> None:
    url = f"http://user:{text}@proxy:3128"
    if spec := taken("proxy", {"http": url}):
        variables = dict(line.split("=", 1) for line in proxy_files(spec)["proxy.env"].splitlines())
        assert variables["http_proxy"] == variables["https_proxy"] == url
        assert apt_proxy(spec, []).splitlines()[0] == f'Acquire::http::Proxy "{url}";'
    if spec := taken("proxy", {"http": "http://proxy:3128", "noProxy": [text]}):
        variables = dict(line.split("=", 1) for line in proxy_files(spec)["proxy.env"].splitlines())
        assert variables["no_proxy"].split(",")[0] == text


@FUZZED
@given(TEXTS, TEXTS)
def test_labels_and_taints_are_a_line_each(key: str, value: str) -> None:
    if spec := taken("nodeTypes/x86/labels", {key: value}):
        worker = next(each for each in plan(spec).workers if each.type_name == "x86")
        assert worker.labels[key] == value
        assert re.fullmatch(r"[A-Za-z0-9._/-]+=[A-Za-z0-9._-]*", f"{key}={value}")
    if taken("nodeTypes/x86/taints", [f"{key}={value}:NoSchedule"]):
        assert re.fullmatch(r"[A-Za-z0-9._/-]+=[A-Za-z0-9._-]*", f"{key}={value}")
