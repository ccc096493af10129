"""Can this machine carry the lab? Every reason why not, each with what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lab.artifact import cache_root
from lab.command import run
from lab.services import LabError

GIB = 2**30
_CACHE_GIB, _MEMORY_GIB = 20, 10
_LOCK_SECONDS, _APT_SECONDS = 900, 1800


def machine(*, running: bool) -> None:
    """Refuse a machine that can't.

    Args:
        running: the lab is up, so the memory it uses is not missing.

    Raises:
        LabError: all reasons at once.
    """
    reasons = []
    if os.geteuid() != 0:
        reasons.append("the lab makes namespaces and mounts: run it as root")
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free / GIB
    if free < _CACHE_GIB and not running:
        reasons.append(f"{root} has {free:.0f} GiB free, the lab wants {_CACHE_GIB}: free some, or set Q8S_CACHE")
    memory = _available_memory() / GIB
    if memory < _MEMORY_GIB and not running:
        reasons.append(f"{memory:.0f} GiB of memory are free, the lab wants {_MEMORY_GIB} before its first cluster")
    if not Path("/dev/net/tun").exists():
        reasons.append("/dev/net/tun is missing: guests need the kernel's tun driver")
    if shutil.which("go") is None:
        reasons.append("go is missing: Kubernetes, Pulumi and the OpenStack plugin are built from their Go modules")
    if reasons:
        raise LabError("this machine can't carry the lab:\n" + "\n".join(f"  {reason}" for reason in reasons))


def packages(names: Iterable[str]) -> bool:
    """Install Debian packages that are missing, and start none of their services.

    Returns:
        True when something was installed.

    Raises:
        LabError: apt can't install them.
    """
    missing = [name for name in sorted(set(names)) if not _is_installed(name)]
    if not missing:
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    apt = ["apt-get", "-q", "-y", "-o", f"DPkg::Lock::Timeout={_LOCK_SECONDS}"]
    for words in ([*apt, "update"], [*apt, "install", "--no-install-recommends", *missing]):
        run(*words, env=environment, limit=_LOCK_SECONDS + _APT_SECONDS)
    return True


def _is_installed(name: str) -> bool:
    words = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name]
    return run(*words, limit=60, check=False).stdout == "installed"


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise LabError("/proc/meminfo does not tell how much memory is free")
