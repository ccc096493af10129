"""What nodes are like: control planes and worker types (FR2, FR3)."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, ValidationInfo, field_validator, model_validator

from q8s_infra.arch import ARCHITECTURES, architecture
from q8s_infra.spec.emulator import QemuArgs
from q8s_infra.spec.labels import LabelKey, LabelValue, Taints
from q8s_infra.spec.types import ArchitectureName, DnsLabel, Model, Name
from q8s_infra.units import Size

MiB, GiB = 2**20, 2**30
SMALLEST_MEMORY, SMALLEST_DISK = Size(1 * GiB), Size(4 * GiB)
LARGEST_MEMORY, LARGEST_DISK = Size(1024 * GiB), Size(64 * 1024 * GiB)
"""What QEMU's emulated CPUs address (40 bits in the common models), and the largest volume that clouds have."""
_MOST_CPUS: Final = {"s390x": 248}
"""Where QEMU's machine takes fewer than the field (S390_MAX_CPUS)."""


class BootVolume(Model):
    """The volume that an instance boots from and keeps all its data on; it goes with the instance."""

    size: Size = Field(description="Its size, such as 40GiB; whole GiB.")
    type: Name | None = Field(default=None, description="Volume type; by default the cloud's.")

    @field_validator("size")
    @classmethod
    def _is_whole(cls, given: Size) -> Size:
        if given.bytes % GiB:
            raise ValueError("OpenStack's volumes are of whole GiB")
        if given > LARGEST_DISK:
            raise ValueError(f"at most {LARGEST_DISK}")
        return given


class ControlPlanes(Model):
    """The nodes that run Kubernetes itself, not emulated."""

    flavor: Name = Field(description="OpenStack flavor; kubeadm wants 2 CPUs and 2 GiB at least.")
    count: int = Field(
        default=1, ge=1, le=9, strict=True, description="How many; etcd wants an odd number for its majority."
    )
    name: DnsLabel | None = Field(
        default=None, description="Name of the first one, in place of `<cluster>-control-plane-0`."
    )
    availability_zone: Name | None = Field(
        default=None, description="Availability zone of new instances; by default the cloud's."
    )
    boot_volume: BootVolume | None = Field(
        default=None, description="What new instances boot from where their flavor has no disk of its own."
    )


class NodeType(Model):
    """A kind of emulated worker."""

    architecture: ArchitectureName = Field(description=f"{', '.join(ARCHITECTURES)} (FR2.1).")
    cpus: int = Field(ge=1, le=255, strict=True, description="Number of emulated CPUs (FR2.2).")
    memory: Size = Field(description="Memory of the guest, such as 4GiB (FR2.3).")
    disk: Size = Field(
        description="Root disk of the guest, such as 20GiB (FR2.4); another of this size is for its images."
    )
    flavor: Name = Field(description="OpenStack flavor of the host.")
    cpu_model: str = Field(default="", description="QEMU's name of the CPU model (FR2.2).", validate_default=True)
    machine: str = Field(default="", description="QEMU's machine, by default the architecture's.")
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, description="Node labels beside Q8S's own.")
    taints: Taints = Field(default=(), description="Node taints, key[=value]:effect; of one key and effect one only.")
    max_unavailable: int = Field(
        default=1,
        ge=1,
        le=1000,
        strict=True,
        description="How many of this type are made anew at a time when their guests change; each is drained first.",
    )
    qemu_args: QemuArgs = Field(default=(), description="Further words for QEMU's command line, at your own risk.")
    availability_zone: Name | None = Field(
        default=None, description="Availability zone of the type's new instances; by default the cloud's."
    )
    boot_volume: BootVolume | None = Field(
        default=None, description="What the type's new instances boot from where their flavor has no disk of its own."
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_architecture(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        try:
            entry = architecture(str(given.get("architecture")))
        except ValueError:
            return given
        names = {"cpuModel": "cpu_model"}
        filled = dict(given)
        for alias, value in (("cpuModel", entry.default_cpu_model), ("machine", entry.default_machine)):
            if filled.get(alias) is None and filled.get(names.get(alias, alias)) is None:
                filled[alias] = value
        return filled

    @field_validator("cpus")
    @classmethod
    def _fit_the_machine(cls, given: int, info: ValidationInfo) -> int:
        most = _MOST_CPUS.get(info.data.get("architecture", ""), given)
        if given > most:
            raise ValueError(f"a machine of {info.data['architecture']} has {most} CPUs at most")
        return given

    @field_validator("cpu_model", "machine")
    @classmethod
    def _fits_the_architecture(cls, given: str, info: ValidationInfo) -> str:
        if "architecture" in info.data:
            entry = ARCHITECTURES[info.data["architecture"]]
            kind = str(info.field_name).removeprefix("cpu_")
            there = entry.machines if kind == "machine" else sorted(entry.cpu_models)
            if given not in there:
                raise ValueError(f"is no {kind} of {entry.name}, there are {', '.join(there)}")
        return given

    @field_validator("memory", "disk")
    @classmethod
    def _is_large_enough(cls, given: Size, info: ValidationInfo) -> Size:
        if info.field_name == "memory" and given < SMALLEST_MEMORY:
            raise ValueError(f"at least {SMALLEST_MEMORY}, for a system with kubelet and containerd")
        if info.field_name == "disk" and given < SMALLEST_DISK:
            raise ValueError(f"at least {SMALLEST_DISK}, for a cloud image")
        largest = LARGEST_MEMORY if info.field_name == "memory" else LARGEST_DISK
        if given > largest:
            raise ValueError(f"at most {largest}")
        return given
