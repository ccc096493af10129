"""How long the image of a guest takes from power-on to an SSH login, with nothing of Q8S in it.

Runs on a worker's host, as root, with that host's own Python: ``python3 -`` with this file as standard input. The
worker's guest is off meanwhile, and is started again at the end. Prints seconds, by the clock and of QEMU's CPU time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree as ET

GUEST = Path("/var/lib/libvirt/q8s/guest")
DOMAIN = "guest"
ADDRESS, GATEWAY, PREFIX, MAC = "192.168.123.2", "192.168.123.1", 30, "52:54:00:71:38:53"
LIMIT_SECONDS = 600
COMMAND_SECONDS = 120


def run(*words: str | Path, text: str | None = None) -> str:
    """What a command prints; its failure ends the program."""
    command = [str(word) for word in words]
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True, timeout=COMMAND_SECONDS)
    return done.stdout


def domain(folder: Path) -> str:
    """The host's own domain, under another name, with a fresh root disk and a bare seed, without the payload."""
    root = ET.fromstring(run("virsh", "dumpxml", "--inactive", DOMAIN))  # noqa: S314 (libvirt's own words)
    for uuid in root.findall("uuid"):
        root.remove(uuid)
    for name in root.findall("name"):
        name.text = "bare"
    for nvram in root.iter("nvram"):
        nvram.text = str(folder / "nvram.fd")
    for log in root.iter("log"):
        log.set("file", str(folder / "console.log"))
    for devices in root.findall("devices"):
        for disk in devices.findall("disk"):
            files = [Path(source.attrib["file"]).name for source in disk.findall("source")]
            if "payload.qcow2" in files:
                devices.remove(disk)
    for source in root.findall("devices/disk/source"):
        source.set("file", str(folder / Path(source.attrib["file"]).name))
    return ET.tostring(root, encoding="unicode")


def seed(folder: Path) -> None:
    """A NoCloud seed with a key and the network, and no more."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
    keys = [(folder / "key.pub").read_text().strip()]
    user = {"name": "bare", "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash", "ssh_authorized_keys": keys}
    documents = {
        "user-data": "#cloud-config\n" + json.dumps({"users": [user]}),
        "meta-data": json.dumps({"instance-id": "bare", "local-hostname": "bare"}),
        "network-config": json.dumps(
            {
                "version": 2,
                "ethernets": {
                    "uplink": {
                        "match": {"macaddress": MAC},
                        "set-name": "eth0",
                        "addresses": [f"{ADDRESS}/{PREFIX}"],
                        "routes": [{"to": "0.0.0.0/0", "via": GATEWAY}],
                    }
                },
            }
        ),
    }
    for name, content in documents.items():
        (folder / name).write_text(content)
    files = [folder / name for name in documents]
    run("genisoimage", "-quiet", "-output", folder / "seed.iso", "-volid", "cidata", "-joliet", "-rock", *files)


def succeeds(*words: str) -> bool:
    """True for a command that is done in time, without an error; what it complains of is expected."""
    try:
        done = subprocess.run(
            words, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=COMMAND_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def cpu_seconds() -> float:
    """What the machine's emulator has used so far (proc(5))."""
    emulator = Path("/run/libvirt/qemu/bare.pid").read_text().strip()
    fields = Path(f"/proc/{emulator}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds_to_login(folder: Path) -> tuple[float, float]:
    """Power on, and wait for a login; seconds by the clock and of CPU time."""
    options = ["BatchMode=yes", "ConnectTimeout=2", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
    login = ["ssh", "-q", "-i", str(folder / "key"), *(f"-o{option}" for option in options), f"bare@{ADDRESS}", "true"]
    started = time.monotonic()
    run("virsh", "-q", "create", folder / "domain.xml")
    while not succeeds(*login):
        if time.monotonic() - started > LIMIT_SECONDS:
            sys.exit(f"no SSH login within {LIMIT_SECONDS} s")
        time.sleep(0.2)
    return time.monotonic() - started, cpu_seconds()


def main() -> None:
    """Measure, and leave the host as it was."""
    succeeds("virsh", "-q", "destroy", DOMAIN)
    with tempfile.TemporaryDirectory(dir=GUEST.parent) as name:
        folder = Path(name)
        # The last one is the image itself; another guest's state may be between.
        chain = json.loads(run("qemu-img", "info", "--backing-chain", "--output=json", GUEST / "root.qcow2"))
        backing, size = chain[-1]["filename"], str(chain[0]["virtual-size"])
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, folder / "root.qcow2", size)
        seed(folder)
        (folder / "domain.xml").write_text(domain(folder))
        run("chown", "-R", "libvirt-qemu:kvm", folder)
        try:
            print(*(f"{seconds:.1f}" for seconds in seconds_to_login(folder)))
        finally:
            succeeds("virsh", "-q", "destroy", "bare")
            run("virsh", "-q", "start", DOMAIN)


main()
