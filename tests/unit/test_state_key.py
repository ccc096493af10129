"""What a guest's state depends on: each of it makes another key, so no state is resumed by what did not make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from q8s_infra.remote import HOSTSCRIPTS
from q8s_infra.render.domain import domain_xml
from q8s_infra.render.seed import seed
from tests.unit.hostscript import stand_in, step
from tests.unit.rendered import LOGIN, planned

GIVEN = {"image_sha256": "a" * 64, "payload_sha256": "b" * 64, "disk": str(10 << 30)}
QEMU = "#!/bin/sh\n# one build\n"


def key(folder: Path, **given: str) -> str:
    """The key of a guest whose documents are in a folder, emulated by a program there."""
    assigned = " ".join(f"{name}={value}" for name, value in {**GIVEN, **given}.items())
    script = (
        f"source {HOSTSCRIPTS}/guest-state.sh; PATH={folder}:$PATH; emulator=qemu-system-x86_64; {assigned}; "
        "trap 'echo failed >&2' ERR; state_key"
    )
    done = step(folder, "eval", script)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr
    return done.stdout.strip()


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    cluster = planned("dev")
    (tmp_path / "seed").mkdir()
    for path, text in seed(cluster.spec, authorized_keys=[LOGIN]).items():
        (tmp_path / path).write_text(text)
    worker = next(each for each in cluster.workers if each.architecture.name == "x86_64")
    (tmp_path / "domain.xml").write_text(domain_xml(worker))
    emulator = tmp_path / "qemu-system-x86_64"
    emulator.write_text(QEMU)
    emulator.chmod(0o755)
    return tmp_path


def test_the_same_guest_on_another_host_has_the_same_key(documents: Path) -> None:
    first = key(documents)
    assert len(first) == 64
    # Each host has a copy of its own.
    (documents / "qemu-system-x86_64").touch()
    assert key(documents) == first


@pytest.mark.parametrize("given", [{"image_sha256": "c" * 64}, {"payload_sha256": "c" * 64}, {"disk": str(20 << 30)}])
def test_other_disks_are_another_state(documents: Path, given: dict[str, str]) -> None:
    assert key(documents, **given) != key(documents)


@pytest.mark.parametrize(
    ("file", "was", "now"),
    [
        ("qemu-system-x86_64", "one build", "another build"),
        ("domain.xml", ">EPYC-Rome<", ">Haswell<"),
        ("domain.xml", ">2097152<", ">4194304<"),
        ("domain.xml", "<vcpu>2<", "<vcpu>4<"),
        ("seed/user-data", LOGIN, f"{LOGIN} another"),
        ("seed/network-config", "@MTU@", "1400"),
    ],
)
def test_another_machine_is_another_state(documents: Path, file: str, was: str, now: str) -> None:
    before, text = key(documents), (documents / file).read_text()
    assert was in text
    (documents / file).write_text(text.replace(was, now))
    assert key(documents) != before


def test_a_guests_name_and_secrets_are_no_part_of_it(documents: Path) -> None:
    """Else no two workers would have a state in common."""
    before = key(documents)
    for name in ("join.json", "states.key", "states.pem"):
        (documents / name).write_text("another")
    assert key(documents) == before
    one, other = (each for each in planned("mixed").workers if each.type_name == "server-new")
    assert domain_xml(one) == domain_xml(other)


def test_another_firmware_is_another_state(documents: Path) -> None:
    firmware = documents / "firmware.fd"
    domain = documents / "domain.xml"
    # As an arm64 guest has it, in a folder of its own.
    domain.write_text(domain.read_text().replace("</os>", f"<loader>/usr/share/../..{firmware}</loader></os>"))
    firmware.write_text("one")
    before = key(documents)
    firmware.write_text("another")
    assert key(documents) != before


def test_other_emulators_of_a_host_are_no_part_of_it(documents: Path) -> None:
    """Else no state would go on where the packages of all architectures are (docs/decisions/0027)."""
    installed = documents / "installed"
    matches = "[[ $name != $pattern ]] || echo $name $version"
    every = f"for pattern; do while read -r name version; do {matches}; done <{installed}; done"
    stand_in(documents, "dpkg-query", every)
    installed.write_text("libvirt0 1\nqemu-system-common 1\nqemu-system-x86 1\n")
    before = key(documents)
    installed.write_text(f"{installed.read_text()}qemu-system-arm 1\nqemu-efi-aarch64 1\n")
    assert key(documents) == before
    for ours in ("libvirt0", "qemu-system-common"):
        installed.write_text(installed.read_text().replace(f"{ours} 1", f"{ours} 2"))
        assert key(documents) != before
        before = key(documents)


def test_where_no_guest_goes_on_from_one_nobody_is_asked_for_it(documents: Path) -> None:
    (documents / "data").mkdir()
    given = {**GIVEN, "data": str(documents / "data"), "architecture": "ppc64el", "memory": "1", "resumes": "no"}
    assigned = " ".join(f"{name}={value}" for name, value in given.items())
    words = f"source {HOSTSCRIPTS}/guest-state.sh; PATH={documents}:$PATH; emulator=qemu-system-x86_64; {assigned}"
    done = step(documents, "eval", f'{words}; progress() {{ echo "$*"; }}; state_find; state_made; echo end')
    assert done.returncode == 0, done.stderr
    assert done.stdout == "boots, as guests of ppc64el do not go on from a state\nend\n"
