from __future__ import annotations

import subprocess
import sys

import pytest

from q8s_infra.components.keys import RECIPE


@pytest.fixture(scope="session")
def keys() -> str:
    """What the real program makes."""
    return subprocess.run([sys.executable, "-c", RECIPE], capture_output=True, text=True, check=True).stdout
