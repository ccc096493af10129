"""The real engine for the tests of the plugins: its own home, its own file backend, nothing shared."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.artifact import BuildError
from lab.pulumi.install import install

_SECONDS = 120


@dataclass
class Stack:
    """One Pulumi project with one stack; the program may be rewritten between updates."""

    directory: Path
    environment: dict[str, str] = field(repr=False)

    def write(self, program: str) -> None:
        (self.directory / "__main__.py").write_text(program)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["pulumi", "--non-interactive", *words],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, fails: bool = False) -> str:
        process = self.start(*words)
        output, _ = process.communicate(timeout=_SECONDS)
        assert (process.returncode != 0) == fails, output
        return output

    def up(self, program: str | None = None, *words: str, fails: bool = False) -> str:
        if program is not None:
            self.write(program)
        return self.run("up", "--yes", "--skip-preview", *words, fails=fails)

    def preview(self, program: str | None = None) -> dict[str, str]:
        """Resource name to planned operation, of what would change."""
        if program is not None:
            self.write(program)
        output = self.run("preview", "--json")
        steps = json.loads(output[output.index("{\n") :])["steps"]
        operations: dict[str, str] = {}
        for step in steps:
            if step["op"] != "same":
                # A replacement is several steps; the first names it well enough.
                operations.setdefault(step["urn"].rsplit("::", 1)[-1], step["op"])
        return operations

    def outputs(self) -> Any:
        return json.loads(self.run("stack", "output", "--json", "--show-secrets"))

    def state(self) -> str:
        """The stored state, as it lies on the disk."""
        return next((self.directory.parent / "state").rglob("dev.json")).read_text()


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the executables, made as a user's would be."""
    if shutil.which("go") is None:
        pytest.skip("needs Go to build the Pulumi CLI")
    directory = tmp_path_factory.mktemp("bin")
    try:
        install(directory)
    except BuildError as error:
        pytest.fail(str(error))
    return directory


@pytest.fixture
def stack(tools: Path, tmp_path: Path) -> Stack:
    (tmp_path / "state").mkdir()
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "Pulumi.yaml").write_text("name: plugins\nruntime: python\n")
    made = Stack(
        directory,
        {
            "PATH": os.pathsep.join([str(tools), os.environ["PATH"]]),
            "HOME": str(tmp_path),
            "PULUMI_HOME": str(tmp_path / "home"),
            "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "not a secret",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
        },
    )
    made.run("stack", "init", "dev")
    return made


@pytest.fixture(scope="session")
def free_port() -> Iterator[Callable[[], int]]:
    """Ports that nobody else gets: bound here all the while, which lets a server of ours listen there nevertheless."""
    with contextlib.ExitStack() as held:

        def find() -> int:
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

        yield find


@dataclass(frozen=True)
class SshServer:
    port: int
    private_key: str
    host_key: str
    other_host_key: str


def _keygen(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[SshServer]:
    """A real sshd on loopback, with keys of its own."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        pytest.skip("needs root and sshd (apt install openssh-server)")
    Path("/run/sshd").mkdir(exist_ok=True)
    directory = tmp_path_factory.mktemp("sshd")
    port = free_port()
    host_key, _, other = _keygen(directory / "host"), _keygen(directory / "user"), _keygen(directory / "other")
    (directory / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nAuthorizedKeysFile {directory}/user.pub\n"
        "StrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\nAcceptEnv Q8S_*\n"
        "Subsystem sftp internal-sftp\n"
    )
    with (directory / "log").open("w") as log:
        server = subprocess.Popen([program, "-D", "-e", "-f", directory / "config"], stderr=log)
    try:
        _wait_for_port(port)
        yield SshServer(port, (directory / "user").read_text(), host_key, other)
    finally:
        server.terminate()
        server.wait()


def _wait_for_port(port: int) -> None:
    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers)


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what comes in any case, on a busy machine later than on an idle one."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def processes_in(directory: Path) -> list[str]:
    """Command lines of what runs in a directory: the engine starts its plugins in the program's."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        # A process may end while it is looked at.
        with contextlib.suppress(OSError):
            if (each / "cwd").readlink() == directory:
                found.append((each / "cmdline").read_text().replace("\0", " "))
    return found
