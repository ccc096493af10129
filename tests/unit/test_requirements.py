"""What a host must be (hostscripts/requirements.sh), with stand-ins for its programs."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from q8s_infra.remote import HOSTSCRIPTS
from q8s_infra.render.templates import REPOSITORY
from tests.unit.hostscript import stand_in, step

JAMMY: Final = {
    "systemctl": "echo 'systemd 249 (249.11-0ubuntu3.16)'; echo '+PAM +AUDIT'",
    "python3": "echo Python 3.10.12",
    "containerd": "echo containerd github.com/containerd/containerd 1.7.28-0ubuntu1~22.04.1",
    "virsh": "echo 8.0.0",
    "qemu-img": "echo 'qemu-img version 6.2.0 (Debian 1:6.2+dfsg-2ubuntu6.24)'",
}
"""What programs of Ubuntu 22.04 say of themselves."""
ALL: Final = "systemd Python containerd libvirt QEMU"


def required(folder: Path, commands: str, **programs: str) -> subprocess.CompletedProcess[str]:
    """Functions of the library, on a host with these programs in place of its own."""
    for name, does in programs.items():
        stand_in(folder / "programs", name.replace("_", "-"), does)
    said = 'progress() { echo "$*"; }'
    return step(
        folder, "eval", f"PATH={folder}/programs:$PATH; {said}; source {HOSTSCRIPTS}/requirements.sh; {commands}"
    )


def host_has(folder: Path, **other: str) -> subprocess.CompletedProcess[str]:
    for name, does in {**JAMMY, **{name.replace("_", "-"): does for name, does in other.items()}}.items():
        stand_in(folder / "programs", name, does)
    return required(folder, f"host_has {ALL}")


def test_ubuntu_22_04_is_recent_enough(tmp_path: Path) -> None:
    done = host_has(tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("program", "says", "message"),
    [
        ("systemctl", "echo systemd 245", "systemd 247 or newer is needed on this host, which has 245"),
        ("python3", "echo Python 3.8.10", "Python 3.9 or newer is needed on this host, which has 3.8.10"),
        (
            "containerd",
            "echo containerd github.com/containerd/containerd 1.4.13~ds1 1.4.13~ds1-1~deb11u6",
            "containerd 1.6 or newer is needed on this host, which has 1.4.13",
        ),
        ("virsh", "echo 7.0.0", "libvirt 8.0 or newer is needed on this host, which has 7.0.0"),
        ("qemu_img", "echo qemu-img version 5.2.0", "QEMU 6.2 or newer is needed on this host, which has 5.2.0"),
        ("virsh", "exit 127", "libvirt 8.0 or newer is needed on this host, which has none"),
    ],
)
def test_older_release_is_refused_with_what_is_needed(tmp_path: Path, program: str, says: str, message: str) -> None:
    done = host_has(tmp_path, **{program: says})
    assert done.returncode == 1
    assert f"q8s: node node, layer host, step test: {message}: set hostImage to" in done.stderr


def test_newer_release_with_fewer_parts_is_recent_enough(tmp_path: Path) -> None:
    done = host_has(tmp_path, virsh="echo 10.10.0", qemu_img="echo qemu-img version 10.0.2", python3="echo Python 3.13")
    assert done.returncode == 0, done.stderr


def test_release_of_containerd_is_not_taken_from_the_address_of_its_source(tmp_path: Path) -> None:
    says = "echo containerd github.com/containerd/containerd/v2 2.1.4 75cb2b7193e4e490e9fbdc236c0e811ccaba3376"
    done = required(tmp_path, "host_release containerd", containerd=says)
    assert done.stdout == "2.1.4\n"


def test_documentation_has_the_same_lower_bounds() -> None:
    script = (HOSTSCRIPTS / "requirements.sh").read_text()
    bounds = re.search(r'^oldest_releases="\n(.*?)^"$', script, re.MULTILINE | re.DOTALL)
    assert bounds
    page = (REPOSITORY / "docs/operators.md").read_text()
    assert bounds[1].splitlines() == [
        f"{name} {release}" for name, release in re.findall(r"^\| (\w+) \| ([0-9.]+) \|", page, re.MULTILINE)
    ]


@pytest.mark.parametrize("program", sorted(path.name for path in HOSTSCRIPTS.glob("*.py")))
def test_program_of_a_host_is_of_the_oldest_python(program: str) -> None:
    ast.parse((HOSTSCRIPTS / program).read_text(), feature_version=(3, 9))


@pytest.mark.parametrize("unit", sorted(path.name for path in HOSTSCRIPTS.glob("*.service")))
def test_unit_of_a_host_has_no_specifier_newer_than_the_oldest_systemd(unit: str) -> None:
    """systemd.unit(5): %d is of systemd 251, %D of 255, %q of 252; 247 has these."""
    text = re.sub(r"^#.*", "", (HOSTSCRIPTS / unit).read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"%(.)", text)) <= set("%aAbBCEfgGhHiIjJlLmMnNopPsStTuUvVwW")


SWAPS: Final = "Filename Type Size Used Priority\n"


def swap(folder: Path, fstab: str, *, on: bool, container: bool = False) -> subprocess.CompletedProcess[str]:
    """Turn swap off on a host."""
    (folder / "swaps").write_text(SWAPS + ("/dev/vdb partition 1048572 0 -2\n" if on else ""))
    (folder / "fstab").write_text(fstab)
    return required(
        folder,
        f"host_swaps={folder}/swaps host_fstab={folder}/fstab; swap_off",
        systemctl=f'echo "$@" >>{folder}/asked',
        swapoff=f"[[ -e {folder}/keeps ]] || sed -i 2d {folder}/swaps",
        systemd_detect_virt="exit 0" if container else "exit 1",
    )


FSTAB: Final = "UUID=1 / ext4 defaults 0 1\n# none swap\n"


def test_swap_is_turned_off_and_stays_off(tmp_path: Path) -> None:
    done = swap(tmp_path, f"{FSTAB}/dev/vdb\tnone\tswap\tsw,comment=cloudconfig\t0\t2\n", on=True)
    assert done.returncode == 0, done.stderr
    assert "turning swap off: kubelet does not start with it" in done.stdout
    assert (tmp_path / "swaps").read_text() == SWAPS
    assert (tmp_path / "fstab").read_text() == f"{FSTAB}# q8s: /dev/vdb\tnone\tswap\tsw,comment=cloudconfig\t0\t2\n"
    assert "mask --quiet swap.target" in (tmp_path / "asked").read_text()


def test_host_without_swap_is_left_as_it_is(tmp_path: Path) -> None:
    done = swap(tmp_path, FSTAB, on=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "fstab").read_text() == FSTAB
    assert not (tmp_path / "asked").exists()


def test_swap_that_stays_on_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "keeps").touch()
    done = swap(tmp_path, FSTAB, on=True)
    assert done.returncode == 1
    assert "swap is still on" in done.stderr


def test_swap_of_the_machine_under_a_container_stays(tmp_path: Path) -> None:
    done = swap(tmp_path, FSTAB, on=True, container=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def firewall(folder: Path, status: str) -> subprocess.CompletedProcess[str]:
    return required(folder, f"host_marks='{folder}/one {folder}/two'; no_own_firewall", ufw=f"echo 'Status: {status}'")


def test_active_ufw_on_a_new_host_is_refused(tmp_path: Path) -> None:
    done = firewall(tmp_path, "active")
    assert done.returncode == 1
    assert "ufw is active on this host" in done.stderr


def test_active_ufw_on_a_host_with_a_running_node_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "two").touch()
    done = firewall(tmp_path, "active")
    assert done.returncode == 0, done.stderr
    assert "ufw is active on this host: it may drop" in done.stdout


def test_inactive_ufw_is_fine(tmp_path: Path) -> None:
    done = firewall(tmp_path, "inactive")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


VIRSH: Final = """
echo "$*" >>{folder}/asked
case "$*" in
	"-q net-info default") [[ -e {folder}/defined ]] ;;
	"-q net-list --name") echo default; echo q8s ;;
	"-q list --all --name") echo guest ;;
	"-q domiflist guest") echo " vnet0  network  $(<{folder}/network)  virtio  52:54:00:00:00:01" ;;
esac"""


def networks(folder: Path, *, defined: bool, used: str) -> set[str]:
    """What is asked of libvirt where the guest is in a network."""
    if defined:
        (folder / "defined").touch()
    (folder / "network").write_text(used)
    done = required(folder, "unused_default_network", virsh=VIRSH.format(folder=folder))
    assert done.returncode == 0, done.stderr
    return set((folder / "asked").read_text().splitlines())


DOWN: Final = {"-q net-destroy default", "-q net-autostart --disable default"}


def test_unused_default_network_goes_down_and_stays_down(tmp_path: Path) -> None:
    assert networks(tmp_path, defined=True, used="q8s") >= DOWN


def test_default_network_of_a_guest_stays(tmp_path: Path) -> None:
    assert not networks(tmp_path, defined=True, used="default") & DOWN


def test_host_without_a_default_network_is_left_as_it_is(tmp_path: Path) -> None:
    assert not networks(tmp_path, defined=False, used="q8s") & DOWN


@pytest.mark.parametrize(("release", "asks"), [("8.0.0", False), ("8.2.0", True)])
def test_guest_boots_without_a_state_where_libvirt_cannot_save_one(tmp_path: Path, release: str, asks: bool) -> None:
    (tmp_path / "data").mkdir()
    done = required(
        tmp_path,
        f"source {HOSTSCRIPTS}/guest-state.sh; data=$PWD/data type=arm disk=1 memory=1; state_key() {{ echo a; }}; "
        'states() { echo asked; return 10; }; state_find; echo "claim: $claim"',
        virsh=f"echo {release}",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("claim: yes\n" if asks else "claim: \n")
    assert ("cold boot: saving a guest's state needs libvirt 8.2, and this host has 8.0.0" in done.stdout) is not asks
