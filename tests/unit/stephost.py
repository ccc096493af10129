"""A host in a folder: the real scripts with other paths, and stand-ins for systemd and a control plane's tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from q8s_infra.remote import FOLDER, HOSTSCRIPTS
from tests.unit.hostscript import stand_in

NODE: Final = "demo-control-plane-0"
_PATHS: Final = ("/run/q8s", "/var/lib/q8s", "/var/lib/etcd", "/var/log/q8s", "/etc/kubernetes")
_STAND_INS: Final = {
    "sudo": 'shift; exec "$@"',
    # A unit lives as long as its lock is held, which what it starts inherits; other files are closed, as systemd does.
    "systemd-run": """
while [[ $1 = --* ]]; do [[ $1 != --unit=* ]] || unit=${1#--unit=}; shift; done
exec 5>"@UNITS@/$unit"
flock 5
for fd in /proc/$$/fd/*; do fd=${fd##*/}; ((fd < 3 || fd == 5)) || eval "exec $fd>&-"; done
setsid "$@" </dev/null >/dev/null 2>&1 &
echo $! >"@UNITS@/$unit.pid"
""",
    "systemctl": """
unit="@UNITS@/${@: -1}"
case $1 in
show) if [[ -e $unit ]] && ! flock --nonblock "$unit" true; then echo ActiveState=activating; fi ;;
start) flock "$unit" true ;;
stop) kill -- "-$(<"$unit.pid")"; flock "$unit" true ;;
esac
""",
    "kubelet": "echo Kubernetes v1.34.4",
    # Compression is not what is tested, and takes most of the time.
    "gzip": """
if [[ ${1:-} = -d* ]]; then exec /usr/bin/gzip "$@"; fi
exec python3 -c '
import gzip, shutil, sys
with gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", compresslevel=0) as out:
    shutil.copyfileobj(sys.stdin.buffer, out, 1 << 20)'
""",
}


@dataclass(frozen=True)
class StepHost:
    """A host.

    Attributes:
        root: what would be ``/``, and below ``home`` what the user that logs in has.
    """

    root: Path

    @classmethod
    def made(cls, root: Path) -> StepHost:
        """A host on which nothing was run yet."""
        host = cls(root)
        for folder in ("units", "run"):
            (root / folder).mkdir(parents=True)
        for name, does in _STAND_INS.items():
            stand_in(root / "programs", name, does.replace("@UNITS@", str(root / "units")))
        for source in HOSTSCRIPTS.iterdir():
            host.script(source.name, source.read_text())
        return host

    def at(self, path: str) -> Path:
        """Where a path of the host's is."""
        return self.root / path.lstrip("/")

    def script(self, name: str, text: str) -> None:
        """A script of the host's."""
        for path in _PATHS:
            text = text.replace(path, str(self.at(path)))
        text = text.replace("PATH=/usr/local/sbin", f"PATH={self.root}/programs:/usr/local/sbin")
        file = self.root / "home" / FOLDER / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def control_plane(self, etcd_bytes: int) -> None:
        """Let it be a control plane, whose etcd has so much random data."""
        for path in ("manifests/etcd.yaml", "pki/ca.crt", "pki/ca.key", "pki/etcd/ca.crt"):
            file = self.at("/etc/kubernetes") / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("image: registry/etcd:3\n")
        saves = f"""
for word in "$@"; do [[ $word != *dst=/data* ]] || folder=$word; done
folder=${{folder#*src=}}
head -c {etcd_bytes} /dev/urandom >"${{folder%%,*}}/etcd.db"
sha256sum <"${{folder%%,*}}/etcd.db" >{self.root}/saved"""
        stand_in(self.root / "programs", "ctr", saves)

    @property
    def environment(self) -> dict[str, str]:
        """Of its commands."""
        return {"PATH": f"{self.root}/programs:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.root / "home")}

    async def create_process(self, command: str, **_: Any) -> Any:
        """A command, as an SSH connection runs it."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_shell(
            command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=self.root / "home", env=self.environment
        )

        async def wait() -> Any:
            return SimpleNamespace(exit_status=await process.wait())

        return SimpleNamespace(
            stdin=process.stdin, stdout=process.stdout, stderr=process.stderr, wait=wait, kill=process.kill
        )

    @asynccontextmanager
    async def connected(self, *_: Any) -> AsyncIterator[Any]:
        """In the place of :func:`q8s_infra.ssh.connected`."""
        yield self
