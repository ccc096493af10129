from __future__ import annotations

import subprocess

import pytest

from q8s_infra.remote import HOSTSCRIPTS


@pytest.fixture(scope="session")
def keys() -> str:
    """What the real script makes."""
    script = (HOSTSCRIPTS / "new-keys.sh").read_text()
    return subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, check=True).stdout
