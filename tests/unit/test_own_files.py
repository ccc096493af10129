"""What is taken off a host before it becomes an image (hostscripts/own-files.sh)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from q8s_infra.remote import HOSTSCRIPTS
from tests.unit.hostscript import step

GOES: Final = (
    *("etc/q8s/guest-watch.env", "var/lib/q8s/x", "home/debian/.q8s/scripts", "etc/apt/apt.conf.d/80q8s-proxy"),
    *("home/debian/.ssh/authorized_keys2", "root/.ssh/authorized_keys", "etc/ssh/ssh_host_ed25519_key"),
    *("var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "var/lib/systemd/credential.secret"),
    *("var/lib/cloud/instances/i-1/user-data.txt", "var/lib/cloud/data/instance-id"),
    *("home/debian/.bash_history", "root/.python_history", "root/.lesshst", "var/crash/qemu.crash"),
    *("var/log/auth.log", "var/log/q8s/bake-host.log", "var/log/journal/0a/system.journal", "var/log/apt/term.log"),
)
STAYS: Final = (
    *("etc/ssh/sshd_config", "home/debian/.bashrc", "etc/fstab", "usr/bin/virsh", "var/lib/apt/q8s-updated"),
    *("var/lib/libvirt/q8s/images/image.qcow2", "var/lib/libvirt/q8s/baked/a/memory", "etc/apt/keyrings/q8s.asc"),
)
PLAIN, SECRET = "etc/apt/sources.list.d/q8s-0.sources", "etc/apt/q8s.sources.d/q8s-1.sources"


def sealed(root: Path, *files: str, function: str = "") -> subprocess.CompletedProcess[str]:
    """Take away what is a host's own, on a host with these files."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(
            "URIs: https://build:hunter2@apt.example/\n" if name == SECRET else "URIs: https://a/b@c\n"
        )
    (root / "inbox").mkdir()
    words = f"source {HOSTSCRIPTS}/own-files.sh; {function} remove_own_files {root}"
    return step(root / "inbox", "eval", words)


def left(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {"inbox/log"}


def test_what_is_a_hosts_own_is_gone_and_nothing_else(tmp_path: Path) -> None:
    done = sealed(tmp_path, *GOES, *STAYS, PLAIN)
    assert done.returncode == 0, done.stderr
    assert left(tmp_path) == {*STAYS, PLAIN}
    assert "home/debian/.bash_history" in done.stdout


def test_package_source_with_a_password_is_gone_and_its_lists_are_fetched_again(tmp_path: Path) -> None:
    done = sealed(tmp_path, *STAYS, "var/log/syslog", PLAIN, SECRET)
    assert done.returncode == 0, done.stderr
    assert left(tmp_path) == {*STAYS, PLAIN} - {"var/lib/apt/q8s-updated"}


def test_file_that_is_not_removed_is_an_error(tmp_path: Path) -> None:
    done = sealed(tmp_path, *GOES, function="rm() { :; };")
    assert done.returncode == 1
    assert "not removed from the image: " in done.stderr
    assert f"{tmp_path}/root/.python_history" in done.stderr
