"""Machines that are network namespaces: packets show what their firewalls let through. Needs root."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LIMIT: Final = 30
ANSWERS_SECONDS: Final = 2
"""What is refused says so at once; what is dropped says nothing for longer than this."""

_LISTENS: Final = """
import socket, sys, threading
def answer(server):
    while True:
        server.accept()[0].close()
def echo(server):
    while True:
        server.sendto(*server.recvfrom(9))
for port in map(int, sys.argv[1:]):
    threading.Thread(target=answer, args=(socket.create_server(("", port)),)).start()
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind(("", port))
    threading.Thread(target=echo, args=(datagrams,)).start()
print("ready", flush=True)
"""
_ASKS: Final = """
import json, socket, sys
def asked(place):
    address, port = place.removesuffix("/udp").split(":")
    kind = socket.SOCK_DGRAM if place.endswith("/udp") else socket.SOCK_STREAM
    try:
        with socket.socket(type=kind) as asking:
            asking.settimeout(float(sys.argv[1]))
            asking.connect((address, int(port)))
            if kind is socket.SOCK_DGRAM:
                asking.send(b"?")
                asking.recv(9)
    except TimeoutError:
        return "dropped"
    except OSError as error:
        return "refused" if isinstance(error, ConnectionRefusedError) else str(error)
    return "open"
print(json.dumps({place: asked(place) for place in sys.argv[2:]}))
"""


class Machine:
    """A network namespace; it is gone with the process that keeps it."""

    def __init__(self) -> None:
        self._processes = [subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 300"], stdout=-1)]
        self._ready(self._processes[0])
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *words: str | Path, env: Mapping[str, str] | None = None) -> str:
        """What a program prints there."""
        done = subprocess.run(self._inside(*words), env=env, check=False, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def wire(self, name: str, address: str, other: Machine, other_name: str, other_address: str) -> None:
        """A cable from this machine to another one."""
        pid = str(other._processes[0].pid)
        self.run("ip", "link", "add", name, "type", "veth", "peer", "name", other_name, "netns", pid)
        for machine, link, given in ((self, name, address), (other, other_name, other_address)):
            machine.run("ip", "address", "add", given, "dev", link)
            machine.run("ip", "link", "set", link, "up")

    def listen(self, *ports: int) -> None:
        """Answer on TCP and UDP ports of all addresses."""
        command = self._inside(sys.executable, "-c", _LISTENS, *map(str, ports))
        self._processes.append(subprocess.Popen(command, stdout=-1))
        self._ready(self._processes[-1])

    def asks(self, *places: str) -> dict[str, str]:
        """What comes of questions to these (``ADDRESS:PORT``, ``ADDRESS:PORT/udp``): open, refused, or dropped."""
        found: dict[str, str] = json.loads(self.run(sys.executable, "-c", _ASKS, str(ANSWERS_SECONDS), *places))
        return found

    def end(self) -> None:
        """End all that runs there."""
        for process in reversed(self._processes):
            process.kill()
            process.communicate()

    def _inside(self, *words: str | Path) -> list[str | Path]:
        return ["nsenter", f"--net=/proc/{self._processes[0].pid}/ns/net", *words]

    @staticmethod
    def _ready(process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        assert process.stdout.readline()
