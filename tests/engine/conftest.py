from __future__ import annotations

import os

import pytest

from lab import scale


@pytest.fixture(autouse=True)
def _own_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack, and with it a file of configuration, of this process: tests run side by side."""
    monkeypatch.setattr(scale, "STACK", f"{scale.STACK}-{os.getpid()}")
