"""docker-registry: its configuration, and one for the time of a build."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import yaml

from lab.artifact import BuildError

_START_SECONDS: Final = 20.0


def configuration(storage: Path, address: str, port: int, *, read_only: bool) -> str:
    """The registry's configuration file.

    Args:
        storage: directory of the images.
        address: where it listens, by plain HTTP.
        port: the port there.
        read_only: refuse uploads and deletions.
    """
    maintenance = {"uploadpurging": {"enabled": False}, "readonly": {"enabled": read_only}}
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": maintenance,
        },
        "http": {"addr": f"{address}:{port}"},
    }
    return yaml.safe_dump(settings)


@contextmanager
def running(storage: Path, log: Path, address: str = "127.0.0.1", *, read_only: bool = False) -> Iterator[str]:
    """A registry on a free port of an address; it is stopped at the end.

    Args:
        storage: directory of the images.
        log: its output goes there.
        address: one of this machine's.
        read_only: it refuses uploads and deletions.

    Yields:
        Address and port.

    Raises:
        BuildError: it did not start.
    """
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = int(probe.getsockname()[1])
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as config, log.open("a") as output:
        config.write(configuration(storage, address, port, read_only=read_only))
        config.flush()
        process = subprocess.Popen(["docker-registry", "serve", config.name], stdout=output, stderr=output)
        try:
            _await(process, f"http://{address}:{port}/v2/", log)
            yield f"{address}:{port}"
        finally:
            process.terminate()
            process.wait(timeout=_START_SECONDS)


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise BuildError(f"docker-registry did not start at {url}; log: {log}")
