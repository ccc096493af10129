"""Put grub's boot code on a GPT disk image, as grub-bios-setup does, which insists on a block device.

Source of the offsets: grub's include/grub/i386/pc/boot.h and kernel.h (boot_kern, diskboot block list).
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

SECTOR = 512
BOOT_IMAGE = Path("/usr/lib/grub/i386-pc/boot.img")
KERNEL_SECTOR, BOOT_DRIVE, DRIVE_CHECK = 0x5C, 0x64, 0x66
BLOCK_LIST = 0x1F4
PARTITION_TABLE = 440


def install(disk: Path, core: Path, start: int) -> None:
    """Write boot code and core image.

    Args:
        disk: the disk image; its partition table stays.
        core: what grub-mkimage made.
        start: first sector of the BIOS boot partition.
    """
    boot = bytearray(BOOT_IMAGE.read_bytes())
    image = bytearray(core.read_bytes())
    sectors = -(-len(image) // SECTOR)
    image += bytes(sectors * SECTOR - len(image))
    boot[KERNEL_SECTOR : KERNEL_SECTOR + 8] = struct.pack("<Q", start)
    boot[BOOT_DRIVE] = 0xFF  # the drive that the BIOS booted from
    boot[DRIVE_CHECK : DRIVE_CHECK + 2] = b"\x90\x90"  # a hard disk: skip the floppy's drive check
    image[BLOCK_LIST : BLOCK_LIST + 10] = struct.pack("<QH", start + 1, sectors - 1)
    with disk.open("r+b") as file:
        before = file.read(SECTOR)
        file.seek(0)
        file.write(bytes(boot[:PARTITION_TABLE]) + before[PARTITION_TABLE:])
        file.seek(start * SECTOR)
        file.write(image)


if __name__ == "__main__":
    install(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
