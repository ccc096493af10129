from __future__ import annotations

import os
import secrets
import subprocess
import sys

import pytest

from q8s_infra.components.keys import RECIPE

# Of random edits; processes of the same test run inherit it. The same each time, so that only a change of the code
# makes a test fail; Q8S_SEED=random looks for other stories.
if os.environ.setdefault("Q8S_SEED", "20261129") == "random":
    os.environ["Q8S_SEED"] = str(secrets.randbelow(2**32))


def pytest_report_header() -> str:
    return f"Q8S_SEED={os.environ['Q8S_SEED']}"


@pytest.fixture(scope="session")
def keys() -> str:
    """What the real program makes."""
    return subprocess.run([sys.executable, "-c", RECIPE], capture_output=True, text=True, check=True).stdout
