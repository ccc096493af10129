#!/usr/bin/env bash
# A disk image from a root file system, without loop devices: GPT with the partition numbers of Ubuntu's images
# (1 root, 14 BIOS boot or PReP, 15 EFI), systemd-boot for UEFI and grub for what is none: amd64's BIOS, ppc64el's Open Firmware.
# s390x's firmware reads no file systems: it loads the blocks that zipl has listed, of files in /boot.
# With INIT, an initramfs of this one program and a command line for emulated CPUs; without, the root's own initramfs, and the
# command line of published images.
# Usage: build-disk.sh ARCHITECTURE ROOT WORK OUT.qcow2 [INIT]
set -euo pipefail
architecture=$1 root=$2 work=$3 out=$4 init=${5:-}
here=$(dirname "$0")
root_mib=$(($(du -sm "$root" | cut -f1) * 5 / 4 + 512)) esp_mib=128

case $architecture in
amd64) efi=x64 console=ttyS0 ;;
arm64) efi=aa64 console=ttyAMA0 ;;
riscv64) efi=riscv64 console=ttyS0 ;;
ppc64el) efi="" console=hvc0 ;;
s390x) efi="" console=ttysclp0 ;;
*) echo "no boot loader known for $architecture" >&2; exit 2 ;;
esac
kernel=$(basename "$root"/lib/modules/*)
ram=$work/initramfs

add_module() { # NAME: the module behind those that it needs
	local name=$1 file dependency
	file=$(find "$root/lib/modules/$kernel/kernel" -name "$name.ko*" -print -quit)
	[[ -n $file ]] || return 0
	while read -r dependency; do
		[[ -z $dependency ]] || add_module "$(basename "$dependency" | sed 's/\.ko.*//')"
	done < <(sed -n "s#^[^:]*/$name\.ko[.a-z]*: *##p" "$root/lib/modules/$kernel/modules.dep" | tr ' ' '\n' | tac)
	if grep -qx "$name.ko" "$ram/modules/order"; then return; fi
	case $file in
	*.xz) xz -dc "$file" >"$ram/modules/$name.ko" ;;
	*.zst) zstd -qdc "$file" >"$ram/modules/$name.ko" ;;
	*) cp "$file" "$ram/modules/$name.ko" ;;
	esac
	echo "$name.ko" >>"$ram/modules/order"
}
if [[ $init ]]; then
	command_line="root=/dev/vda1 ro console=$console quiet loglevel=3 panic=5 systemd.show_status=0 mitigations=off audit=0
 net.ifnames=0 nokaslr random.trust_cpu=on init_on_alloc=0 rcupdate.rcu_expedited=1"
	command_line=${command_line//$'\n'/}
	if [[ $architecture = amd64 ]]; then command_line+=" tsc=reliable no_timer_check"; fi
	mkdir -p "$ram"/{modules,dev,proc,root}
	install -m 0755 "$init" "$ram/init"
	: >"$ram/modules/order"
	for module in virtio_pci virtio_mmio virtio_blk crc32c_generic crc32c-intel crc32c_cryptoapi libcrc32c ext4; do add_module "$module"; done
	(cd "$ram" && find . | cpio -o -H newc --quiet --owner 0:0) >"$work/initrd.img"
else
	command_line="root=LABEL=cloudimg-rootfs ro console=tty0 console=$console,115200 consoleblank=0"
	cp "$root/boot/initrd.img-$kernel" "$work/initrd.img"
fi

esp=$work/esp
mkdir -p "$esp"/EFI/BOOT "$esp"/loader/entries "$esp"/grub
if [[ $efi ]]; then cp "$root/usr/lib/systemd/boot/efi/systemd-boot$efi.efi" "$esp/EFI/BOOT/BOOT${efi^^}.EFI"; fi
cp "$root"/boot/vmlinu[xz]-"$kernel" "$esp/vmlinuz"
cp "$work/initrd.img" "$esp/initrd.img"
printf 'timeout 0\ndefault linux.conf\neditor no\n' >"$esp/loader/loader.conf"
printf 'title linux\nlinux /vmlinuz\ninitrd /initrd.img\noptions %s\n' "$command_line" >"$esp/loader/entries/linux.conf"
printf 'set timeout=0\nlinux /vmlinuz %s\ninitrd /initrd.img\nboot\n' "$command_line" >"$esp/grub/grub.cfg"
truncate -s "${esp_mib}M" "$work/esp.img"
mkfs.vfat -F 32 -n UEFI "$work/esp.img" >/dev/null
(cd "$esp" && mcopy -i "$work/esp.img" -s ./* ::/)

rm -f "$root"/boot/vmlinu[xz]* "$root"/boot/initrd.img*
if [[ $architecture = s390x ]]; then
	cp "$esp"/{vmlinuz,initrd.img} "$root/boot"
	install -m 0755 "$here/zipl-init.sh" "$root/boot/zipl-init"
	printf '[defaultboot]\ndefault=linux\n[linux]\ntarget=/boot\nimage=/boot/vmlinuz\nramdisk=/boot/initrd.img\nparameters="%s"\n' \
		"$command_line" >"$root/etc/zipl.conf"
fi
truncate -s "${root_mib}M" "$work/root.img"
mkfs.ext4 -q -F -L cloudimg-rootfs -m 1 -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 -d "$root" "$work/root.img"

# What the firmware starts: for a BIOS the rest of grub is here, Open Firmware loads it as a program.
case $architecture in
ppc64el) first=9E1A2D38-C612-4316-AA26-8B49521E5A8B ;;
*) first=21686148-6449-6E6F-744E-656564454649 ;;
esac
# Sectors of 512 bytes; the root is last, so that growpart can grow it.
bios_start=2048 bios_size=8192
esp_start=$((bios_start + bios_size)) esp_size=$((esp_mib * 2048))
root_start=$((esp_start + esp_size)) root_size=$((root_mib * 2048))
disk=$work/disk.raw
truncate -s "$(((root_start + root_size + 2048) * 512))" "$disk"
sfdisk -q "$disk" <<TABLE
label: gpt
unit: sectors
14 : start=$bios_start, size=$bios_size, type=$first
15 : start=$esp_start, size=$esp_size, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
1 : start=$root_start, size=$root_size, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
TABLE
dd if="$work/esp.img" of="$disk" bs=1M seek=$((esp_start * 512)) oflag=seek_bytes conv=notrunc,sparse status=none
dd if="$work/root.img" of="$disk" bs=1M seek=$((root_start * 512)) oflag=seek_bytes conv=notrunc,sparse status=none
grub() { # FORMAT PREFIX MODULE...: a core image that goes on with what is on the EFI partition
	# shellcheck disable=SC2016  # $root is grub's
	printf 'search --no-floppy --label UEFI --set=root\nconfigfile ($root)/grub/grub.cfg\n' >"$work/early.cfg"
	grub-mkimage -O "$1" -o "$work/core.img" -c "$work/early.cfg" -p "$2" part_gpt fat normal linux search search_label configfile echo "${@:3}"
}
case $architecture in
amd64)
	grub i386-pc '(hd0,gpt15)/grub' biosdisk
	python3 "$here/bios_boot.py" "$disk" "$work/core.img" "$bios_start"
	;;
ppc64el)
	grub powerpc-ieee1275 /grub --directory="$root/usr/lib/grub/powerpc-ieee1275"
	dd if="$work/core.img" of="$disk" bs=1M seek=$((bios_start * 512)) oflag=seek_bytes conv=notrunc status=none
	;;
s390x)
	# zipl runs on s390x only and asks the kernel where blocks are: the disk boots once, by a kernel from outside, into it.
	timeout 600 qemu-system-s390x -machine s390-ccw-virtio -m 1G -nodefaults -display none -no-reboot \
		-chardev "file,id=console,path=$work/zipl.log" -device sclpconsole,chardev=console \
		-drive "file=$disk,format=raw,if=none,id=disk" -device virtio-blk-ccw,drive=disk \
		-kernel "$esp/vmlinuz" -initrd "$work/initrd.img" \
		-append "root=/dev/vda1 init=/boot/zipl-init console=ttysclp0 panic=-1"
	grep -q '^zipl: written' "$work/zipl.log" || { tail -n 40 "$work/zipl.log" >&2; exit 1; }
	;;
esac
qemu-img convert -O qcow2 -c -o compression_type=zstd "$disk" "$out"
