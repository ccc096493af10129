"""The cluster's own secrets: who can read them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import asyncssh

from q8s_infra.components.keys import RECIPE
from q8s_infra.new_keys import new_keys


def test_the_recipe_runs_on_its_own_and_prints_json(tmp_path: Path) -> None:
    # No shell, no tools, and a directory without this package.
    made = subprocess.run(
        [sys.executable, "-c", RECIPE], cwd=tmp_path, env={"PATH": ""}, check=True, capture_output=True, timeout=60
    )
    assert json.loads(made.stdout).keys() == {"privateKey", "publicKey", "hostKeySeed"}
    assert not made.stderr


def test_ssh_clients_read_the_keys(tmp_path: Path) -> None:
    keys = new_keys()
    assert asyncssh.import_private_key(keys["privateKey"]).export_public_key().decode().strip() == keys["publicKey"]
    file = tmp_path / "key"
    file.write_text(keys["privateKey"])
    file.chmod(0o600)
    derived = subprocess.run(["ssh-keygen", "-y", "-f", file], check=True, capture_output=True, text=True, timeout=60)
    assert derived.stdout.strip() == keys["publicKey"]


def test_secrets_are_new_each_time_and_the_seed_has_32_bytes() -> None:
    one, other = new_keys(), new_keys()
    assert not set(one.values()) & set(other.values())
    assert len(bytes.fromhex(one["hostKeySeed"])) == 32
