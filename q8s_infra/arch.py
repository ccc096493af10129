"""The architectures that a worker can have: a table. One more entry is one more architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from q8s_infra.versions import UBUNTU_IMAGE


@dataclass(frozen=True)
class Architecture:
    """What the layers below need to know of an architecture.

    Attributes:
        name: as a spec writes it.
        aliases: other spellings that are understood.
        debian: Debian's name.
        oci: the OCI's and Kubernetes' name.
        libvirt: libvirt's name, in a domain's ``<type arch=...>``.
        qemu_binary: the emulator.
        default_machine: QEMU machine that a node type gets unless it says otherwise.
        machines: QEMU machines that are known to boot a cloud image.
        cpu_models: models that QEMU 10's TCG offers (``qemu-system-... -cpu help``), without versioned aliases.
        default_cpu_model: a model that TCG emulates in full.
        host_packages: Debian packages that the host needs beside libvirt; where releases differ, names with ``|`` in
            between, of which the first is taken that the host's sources have.
        features: libvirt's names of what the machine has, in a domain's ``<features>``.
        firmware_code: UEFI firmware, or None where QEMU's own firmware boots the guest. Without Secure Boot: a cloud
            image's loader need not be signed.
        firmware_vars: template of the firmware's variables.
        boot_loader: what QEMU's own firmware starts like a kernel, and finds the disk's UEFI loader: U-Boot, as
            Ubuntu's and Debian's images want it where there is no UEFI firmware.
        libvirt_has_cpus: whether libvirt 9 and later knows the architecture's CPU models; where not, QEMU itself is
            told the model.
        pci: whether devices are on a PCI bus; a network card's firmware can be left out only there.
        big_endian: containerd's databases have the byte order of who writes them, so these guests unpack container
            images by themselves.
        resumes: whether a guest goes on from a saved state; where not, each boots.
        kubernetes_published: whether pkgs.k8s.io and registry.k8s.io have it.
        image_url: what guests boot where a stack names no image: a dated release, whose checksums Ubuntu signs.
        guest_apt: package sources of that image's distribution, as (URI, suites).
    """

    name: str
    aliases: tuple[str, ...]
    debian: str
    oci: str
    libvirt: str
    qemu_binary: str
    default_machine: str
    machines: tuple[str, ...]
    cpu_models: frozenset[str]
    default_cpu_model: str
    host_packages: tuple[str, ...]
    features: tuple[str, ...]
    image_url: str
    guest_apt: tuple[str, tuple[str, ...]]
    firmware_code: str | None = None
    firmware_vars: str = ""
    boot_loader: str | None = None
    libvirt_has_cpus: bool = True
    pci: bool = True
    big_endian: bool = False
    resumes: bool = True
    kubernetes_published: bool = True


_COMMON_PACKAGES: Final = (
    "libvirt-daemon-system",
    "libvirt-clients",
    # The DNS server on the guest's link.
    "dnsmasq-base",
    "qemu-utils",
    "genisoimage",
    "python3-yaml",
    "haproxy",
    "iptables",
    "ethtool",
    "curl",
)

_X86_MODELS: Final = frozenset(
    {
        "max",
        "qemu64",
        "base",
        "Broadwell",
        "Broadwell-IBRS",
        "Broadwell-noTSX",
        "Broadwell-noTSX-IBRS",
        "Cascadelake-Server",
        "Cascadelake-Server-noTSX",
        "Conroe",
        "Cooperlake",
        "Denverton",
        "Dhyana",
        "EPYC",
        "EPYC-Genoa",
        "EPYC-IBPB",
        "EPYC-Milan",
        "EPYC-Rome",
        "EPYC-Turin",
        "GraniteRapids",
        "Haswell",
        "Haswell-IBRS",
        "Haswell-noTSX",
        "Haswell-noTSX-IBRS",
        "Icelake-Server",
        "Icelake-Server-noTSX",
        "IvyBridge",
        "IvyBridge-IBRS",
        "KnightsMill",
        "Nehalem",
        "Nehalem-IBRS",
        "Opteron_G1",
        "Opteron_G2",
        "Opteron_G3",
        "Opteron_G4",
        "Opteron_G5",
        "Penryn",
        "SandyBridge",
        "SandyBridge-IBRS",
        "SapphireRapids",
        "SierraForest",
        "Skylake-Client",
        "Skylake-Client-IBRS",
        "Skylake-Client-noTSX-IBRS",
        "Skylake-Server",
        "Skylake-Server-IBRS",
        "Skylake-Server-noTSX-IBRS",
        "Snowridge",
        "Westmere",
        "Westmere-IBRS",
        "core2duo",
        "kvm64",
        "phenom",
    }
)
_ARM_MODELS: Final = frozenset(
    {
        "max",
        "a64fx",
        "cortex-a35",
        "cortex-a53",
        "cortex-a55",
        "cortex-a57",
        "cortex-a710",
        "cortex-a72",
        "cortex-a76",
        "neoverse-n1",
        "neoverse-n2",
        "neoverse-v1",
    }
)
_RISCV_MODELS: Final = frozenset({"max", "rv64", "rva22s64", "rva23s64", "sifive-u54", "thead-c906", "veyron-v1"})
# Those before are not little-endian, or no distribution runs on them.
_POWER_MODELS: Final = frozenset({"power8", "power9", "power10", "power11"})
# Of every other that a distribution runs on TCG lacks features, mostly of its cryptography, and QEMU does not start.
_S390_MODELS: Final = frozenset({"max", "qemu"})
_UBUNTU_SUITES: Final = ("noble", "noble-updates", "noble-security")


def _ubuntu_image(debian: str) -> str:
    """Where Ubuntu has its image for clouds of an architecture, in Debian's words."""
    folder = f"https://cloud-images.ubuntu.com/releases/noble/release-{UBUNTU_IMAGE}"
    return f"{folder}/ubuntu-24.04-server-cloudimg-{debian}.img"


ARCHITECTURES: Final[dict[str, Architecture]] = {
    entry.name: entry
    for entry in (
        Architecture(
            name="x86_64",
            aliases=("amd64", "x86-64"),
            debian="amd64",
            oci="amd64",
            libvirt="x86_64",
            qemu_binary="qemu-system-x86_64",
            default_machine="q35",
            machines=("q35", "pc"),
            cpu_models=_X86_MODELS,
            default_cpu_model="Nehalem",
            host_packages=(*_COMMON_PACKAGES, "qemu-system-x86"),
            features=("acpi", "apic"),
            image_url=_ubuntu_image("amd64"),
            guest_apt=("http://archive.ubuntu.com/ubuntu", _UBUNTU_SUITES),
        ),
        Architecture(
            name="arm64",
            aliases=("arm_64", "aarch64"),
            debian="arm64",
            oci="arm64",
            libvirt="aarch64",
            qemu_binary="qemu-system-aarch64",
            default_machine="virt",
            machines=("virt",),
            cpu_models=_ARM_MODELS,
            default_cpu_model="cortex-a57",
            host_packages=(*_COMMON_PACKAGES, "qemu-system-arm", "qemu-efi-aarch64"),
            features=("acpi",),
            image_url=_ubuntu_image("arm64"),
            guest_apt=("http://ports.ubuntu.com/ubuntu-ports", _UBUNTU_SUITES),
            firmware_code="/usr/share/AAVMF/AAVMF_CODE.fd",
            firmware_vars="/usr/share/AAVMF/AAVMF_VARS.fd",
        ),
        Architecture(
            name="riscv64",
            aliases=("riscv",),
            debian="riscv64",
            oci="riscv64",
            libvirt="riscv64",
            qemu_binary="qemu-system-riscv64",
            default_machine="virt",
            machines=("virt",),
            cpu_models=_RISCV_MODELS,
            default_cpu_model="rv64",
            # In Debian 12, with QEMU 7.2, the emulator is among the less common ones.
            host_packages=(*_COMMON_PACKAGES, "qemu-system-riscv|qemu-system-misc", "opensbi", "u-boot-qemu"),
            features=(),
            image_url=_ubuntu_image("riscv64"),
            guest_apt=("http://ports.ubuntu.com/ubuntu-ports", _UBUNTU_SUITES),
            boot_loader="/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf",
            libvirt_has_cpus=False,
            kubernetes_published=False,
        ),
        Architecture(
            name="ppc64le",
            aliases=("ppc64el", "powerpc64le"),
            debian="ppc64el",
            oci="ppc64le",
            libvirt="ppc64le",
            qemu_binary="qemu-system-ppc64",
            default_machine="pseries",
            machines=("pseries",),
            cpu_models=_POWER_MODELS,
            default_cpu_model="power9",
            host_packages=(*_COMMON_PACKAGES, "qemu-system-ppc"),
            features=(),
            image_url=_ubuntu_image("ppc64el"),
            guest_apt=("http://ports.ubuntu.com/ubuntu-ports", _UBUNTU_SUITES),
            libvirt_has_cpus=False,
            # Restored, it runs and does nothing (QEMU 10.0; docs/decisions/0028).
            resumes=False,
        ),
        Architecture(
            name="s390x",
            aliases=(),
            debian="s390x",
            oci="s390x",
            libvirt="s390x",
            qemu_binary="qemu-system-s390x",
            default_machine="s390-ccw-virtio",
            machines=("s390-ccw-virtio",),
            cpu_models=_S390_MODELS,
            default_cpu_model="qemu",
            # In Debian 12, with QEMU 7.2, the emulator is among the less common ones.
            host_packages=(*_COMMON_PACKAGES, "qemu-system-s390x|qemu-system-misc"),
            features=(),
            image_url=_ubuntu_image("s390x"),
            guest_apt=("http://ports.ubuntu.com/ubuntu-ports", _UBUNTU_SUITES),
            libvirt_has_cpus=False,
            pci=False,
            big_endian=True,
        ),
    )
}


def is_architecture(name: str) -> bool:
    """Whether the table has an entry for a name or alias."""
    return any(name == entry.name or name in entry.aliases for entry in ARCHITECTURES.values())


def architecture(name: str) -> Architecture:
    """The table's entry for a name or alias.

    Raises:
        ValueError: no such architecture; the message lists those there are.
    """
    for entry in ARCHITECTURES.values():
        if name == entry.name or name in entry.aliases:
            return entry
    raise ValueError(f"unknown architecture; there are {', '.join(ARCHITECTURES)}")
