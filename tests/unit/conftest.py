"""Unit tests never see the lab of this machine: its folders are others here, from before anything of it is imported."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

_ELSEWHERE = Path(tempfile.gettempdir()) / f"q8s-unit-{os.getpid()}"
assert "lab.layout" not in sys.modules, "run tests/unit in a process of its own"
for name in ("STATE", "RUN", "LOGS"):
    os.environ[f"Q8S_LAB_{name}"] = str(_ELSEWHERE / name.lower())
atexit.register(shutil.rmtree, _ELSEWHERE, ignore_errors=True)
