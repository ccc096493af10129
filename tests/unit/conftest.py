"""Unit tests never see the lab of this machine: its folders are others here, from before anything of it is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.unit.hostscript import LIMIT, Keys

_ELSEWHERE = Path(tempfile.gettempdir()) / f"q8s-unit-{os.getpid()}"
assert "lab.layout" not in sys.modules, "run tests/unit in a process of its own"
for name in ("STATE", "RUN", "LOGS"):
    os.environ[f"Q8S_LAB_{name}"] = str(_ELSEWHERE / name.lower())
# A machine that is busy with other things fails no test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
atexit.register(shutil.rmtree, _ELSEWHERE, ignore_errors=True)


@pytest.fixture(scope="session")
def keys() -> Iterator[Keys]:
    # The agent's socket is in there, and its path has at most 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="q8s-", dir="/tmp"))
    try:
        yield Keys(home)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, timeout=LIMIT)
        shutil.rmtree(home, ignore_errors=True)
