from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from q8s_infra.hostkeys import (
    certificate_key,
    derive,
    join_token,
    machine_id,
    states_credential,
    states_key,
    states_public_key,
)

SEED = "5a" * 32


def test_a_key_is_the_same_on_every_run() -> None:
    assert derive(SEED, "host/a") == derive(SEED, "host/a")


@given(st.text(min_size=1, max_size=63), st.text(min_size=1, max_size=63))
def test_each_machine_has_its_own(one: str, other: str) -> None:
    assert (derive(SEED, one) == derive(SEED, other)) == (one == other)


def test_another_seed_is_another_key() -> None:
    assert derive(SEED, "host/a") != derive("a5" * 32, "host/a")


@pytest.mark.parametrize("seed", ["", "zz", "5a" * 31])
def test_a_bad_seed_is_refused(seed: str) -> None:
    with pytest.raises(ValueError, match=r"hex|32 bytes"):
        derive(seed, "host/a")


def test_openssh_takes_the_key_and_finds_the_same_public_half(tmp_path: Path) -> None:
    key = derive(SEED, "host/a")
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(key.private)
    said = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True).stdout
    assert said.split()[:2] == key.public.split()[:2]


@given(st.text(), st.text())
def test_a_token_is_the_guests_own_and_the_same_on_every_run(one: str, other: str) -> None:
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", join_token(SEED, one))
    assert (join_token(SEED, one) == join_token(SEED, other)) == (one == other)
    assert join_token(SEED, one) != join_token("a5" * 32, one)
    assert re.fullmatch(r"[0-9a-f]{32}", machine_id(SEED, one))
    assert (machine_id(SEED, one) == machine_id(SEED, other)) == (one == other)


@given(st.text(), st.text())
def test_a_certificate_key_is_the_nodes_own_and_the_same_on_every_run(one: str, other: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", certificate_key(SEED, one))
    assert (certificate_key(SEED, one) == certificate_key(SEED, other)) == (one == other)
    assert certificate_key(SEED, one) != certificate_key("a5" * 32, one)


@pytest.mark.parametrize("seed", ["", "zz", "5a" * 31])
def test_a_token_wants_a_good_seed(seed: str) -> None:
    with pytest.raises(ValueError, match=r"hex|32 bytes"):
        join_token(seed, "a")


def test_openssl_verifies_with_the_public_key_what_it_signs_with_the_states_key(tmp_path: Path) -> None:
    for name, text in (("key", states_key(SEED)), ("pem", states_public_key(SEED)), ("text", "a manifest")):
        (tmp_path / name).write_text(text)
    text, signature = tmp_path / "text", tmp_path / "signature"
    sign = ["openssl", "dgst", "-sha256", "-sign", tmp_path / "key", "-out", signature, text]
    subprocess.run(sign, check=True)
    verify = ["openssl", "dgst", "-sha256", "-verify", tmp_path / "pem", "-signature", signature, text]
    subprocess.run(verify, check=True)
    text.write_text("another")
    assert subprocess.run(verify, check=False).returncode
    assert "PRIVATE" not in states_public_key(SEED)
    assert states_key(SEED) != states_key("a5" * 32)


@given(st.text(), st.text())
def test_a_states_credential_is_the_guests_own_and_its_types(one: str, other: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}\n[0-9a-f]{64}\n", states_credential(SEED, "x86", one))
    assert (states_credential(SEED, "x86", one) == states_credential(SEED, "x86", other)) == (one == other)
    of_type = {states_credential(SEED, kind, one).split()[1] for kind in ("x86", "arm")}
    assert len(of_type) == 2
    assert states_credential("a5" * 32, "x86", one).split()[1] not in of_type
