"""After all the others: no key, token or credential in clear, in what was printed, stored, logged or run."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import layout
from lab.artifact import REPOSITORY
from lab.hosts.host import Folders, all_hosts
from lab.stack import PULUMI_STATE
from q8s_infra.hostkeys import states_key
from tests.lab.conftest import Cluster

KINDS = {
    "bootstrap token": re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b"),
    "client key": re.compile(r"(?<=client-key-data: )\S+"),
}
PRIVATE_KEY = re.compile(r"PRIVATE KEY-----(.*?)-----END", re.DOTALL)
GZIP = "H4sI"
"""How base64 of a gzip file begins (RFC 1952)."""
LINE = re.compile(r"(?!b3BlbnNzaC1rZXktdjEA)[A-Za-z0-9+/=]{40,}")
"""A line of a private key, but for the first of OpenSSH's, which is the same in all."""


def strings(value: Any) -> Iterator[str]:
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def secrets(value: Any) -> Iterator[str]:
    """The strings of all secrets in a state that was exported in clear."""
    if isinstance(value, dict) and "plaintext" in value:
        for text in strings(json.loads(value["plaintext"])):
            yield text
            yield from documents(text)
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from secrets(each)


def documents(text: str) -> Iterator[str]:
    """The documents of a step, where the text is the archive that it gets on its standard input."""
    if text.startswith(GZIP):
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text))) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file
                yield file.read().decode()


@pytest.fixture(scope="module")
def needles(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of what must be nowhere, a line each."""
    kept = list(secrets(cluster.stack.export_stack().deployment))
    found = {kind: {match[0] for text in kept for match in sign.finditer(text)} for kind, sign in KINDS.items()}
    keys = {block[1].replace("\\n", " ") for text in kept for block in PRIVATE_KEY.finditer(text)}
    found["private key"] = {line for key in keys for line in LINE.findall(key)}
    seeds = [json.loads(text)["hostKeySeed"] for text in kept if text.startswith("{") and "hostKeySeed" in text]
    found["key of states"] = {key for seed in seeds for key in (seed, *LINE.findall(states_key(seed)))}
    assert all(found.values()), f"no secrets of a kind: {[kind for kind, these in found.items() if not these]}"
    credential = yaml.safe_load(layout.CLOUDS_YAML.read_text())["clouds"][layout.CLOUD]["auth"]
    found["credential"] = {credential["application_credential_secret"]}
    found["passphrase"] = {(PULUMI_STATE / "passphrase").read_text()}
    file = tmp_path_factory.mktemp("secrets") / "needles"
    file.touch(mode=0o600)
    file.write_text("\n".join(sorted({each for these in found.values() for each in these})))
    return file


def hits(needles: Path, *places: Path) -> list[str]:
    """Files in these places with one of the needles in them."""
    assert all(place.exists() for place in places)
    words = ["grep", "-rlaF", "-f", needles, "--", *places]
    # A log may be turned over while it is read: only what is found counts.
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()


def test_the_search_finds_what_is_there(needles: Path, tmp_path: Path) -> None:
    for number, needle in enumerate(needles.read_text().splitlines()):
        (tmp_path / str(number)).write_text(f"before {needle} after")
    assert len(hits(needles, tmp_path)) == len(needles.read_text().splitlines())


def test_nothing_that_was_printed(cluster: Cluster, needles: Path, tmp_path: Path) -> None:
    (tmp_path / "said").write_text("\n".join(cluster.said))
    assert cluster.said
    assert not hits(needles, tmp_path)


def test_nothing_that_is_stored(cluster: Cluster, needles: Path) -> None:
    assert not hits(needles, PULUMI_STATE / "backend", REPOSITORY / f"Pulumi.{cluster.stack.name}.yaml")


def test_nothing_that_is_logged(cluster: Cluster, needles: Path) -> None:
    """By the lab's services, and on every host: its steps, the guest's console, the journal, the API server's audit."""
    folders = [Folders.of(host, layout.INSTANCES) for host in all_hosts(layout.INSTANCES)]
    hosts = [folder.var / "log" for folder in folders if (folder.var / "log").is_dir()]
    consoles = [folder.console for folder in folders if folder.console.exists()]
    assert len(hosts) >= len(cluster.nodes())
    assert len(consoles) >= len(cluster.nodes())
    assert not hits(needles, layout.LOGS, *hosts, *consoles)


def test_nothing_that_is_kept_of_guests(needles: Path) -> None:
    """States are of guests that are nobody's, so they can be anybody's."""
    folders = [
        Folders.of(host, layout.INSTANCES).var / "lib/private/q8s-states" for host in all_hosts(layout.INSTANCES)
    ]
    (states,) = (folder for folder in folders if folder.is_dir())
    assert {memory.parent.parent.name for memory in states.glob("*/*/memory")} == {"x86-small", "arm-small"}
    assert not hits(needles, states)


def test_nothing_that_runs(needles: Path, tmp_path: Path) -> None:
    listing = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert "qemu-system-" in listing
    (tmp_path / "processes").write_text(listing)
    assert not hits(needles, tmp_path)
