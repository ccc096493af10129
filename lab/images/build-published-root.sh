#!/usr/bin/env bash
# A guest's root file system as Debian's published image for clouds has it: its packages with what they recommend, all units and
# cloud-init's modules as they come, the initramfs of the distribution.
# Usage: build-published-root.sh ARCHITECTURE SUITE ROOT AUTHORITY MIRROR SECURITY_MIRROR (may be empty)
# Needs root, and a kernel that runs the architecture's programs (lab/images/foreign.py).
set -euo pipefail
architecture=$1 suite=$2 root=$3 authority=$4 mirror=$5 security_mirror=$6
here=$(dirname "$0")

# What debian-cloud-images installs for its generic cloud image, but for the boot loader, which the disk brings.
packages=(
	systemd-sysv systemd-resolved systemd-timesyncd libpam-systemd polkitd udev dbus openssh-server openssh-client sudo
	cloud-init cloud-guest-utils netplan.io fdisk gdisk dosfstools e2fsprogs initramfs-tools systemd-boot-efi "linux-image-cloud-$architecture"
	apparmor apt-listchanges bash-completion bind9-host ca-certificates curl dmidecode ethtool file iproute2 iptables
	iputils-ping iputils-tracepath less locales lsb-release lsof man-db manpages nano netcat-openbsd pciutils procps psmisc
	reportbug screen socat ssh-import-id tcpdump traceroute unattended-upgrades vim-tiny wget wtmpdb zstd openssl gpg kmod
)

# The authority comes before the package that makes the list of all, which takes minutes under emulation.
mmdebstrap --mode=root --variant=important --architectures="$architecture" --components=main \
	--include="$(IFS=,; echo "${packages[*]}")" \
	--essential-hook="install -D -m 0644 '$authority' \"\$1/usr/local/share/ca-certificates/q8s-lab.crt\"" \
	--aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Check-Date "false"' \
	"$suite" "$root" \
	"deb $mirror $suite main" "deb $mirror $suite-updates main" ${security_mirror:+"deb $security_mirror $suite-security main"}

# Of the packages that every Debian has, this is the one that images for clouds leave out: their network is netplan's and networkd's.
chroot "$root" dpkg --purge ifupdown
systemctl --root="$root" enable systemd-networkd.service systemd-resolved.service

"$here/nobodys.sh" "$root"
printf 'LABEL=cloudimg-rootfs / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1\nLABEL=UEFI /boot/efi vfat umask=0077 0 1\n' >"$root/etc/fstab"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
