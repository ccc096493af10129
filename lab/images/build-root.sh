#!/usr/bin/env bash
# A guest's root file system: Debian with cloud-init, trimmed for emulated CPUs, but with all that a cloud image does.
# Usage: build-root.sh ARCHITECTURE SUITE ROOT FILES AUTHORITY MIRROR SECURITY_MIRROR (may be empty)
# Needs root, and a kernel that runs the architecture's programs.
set -euo pipefail
architecture=$1 suite=$2 root=$3 files=$4 authority=$5 mirror=$6 security_mirror=$7
here=$(dirname "$0")
sources=("deb $mirror $suite main")
# There are kernels for clouds for two only, and of the others mirrors have the release alone.
case $architecture in
amd64 | arm64)
	boot=(systemd-boot-efi "linux-image-cloud-$architecture")
	sources+=("deb $mirror $suite-updates main" ${security_mirror:+"deb $security_mirror $suite-security main"})
	;;
ppc64el) boot=(grub-ieee1275-bin linux-image-powerpc64le) ;;
s390x) boot=(s390-tools linux-image-s390x) ;;
*) boot=(systemd-boot-efi "linux-image-$architecture") ;;
esac

packages=(
	systemd-sysv systemd-resolved udev dbus openssh-server sudo kmod zstd
	cloud-init cloud-guest-utils fdisk e2fsprogs
	iproute2 iptables iputils-ping conntrack ethtool socat curl ca-certificates procps less openssl gpg
	"${boot[@]}"
)

# The authority comes before the package that makes the list of all, which takes minutes under emulation.
mmdebstrap --mode=root --variant=minbase --architectures="$architecture" --components=main \
	--include="$(IFS=,; echo "${packages[*]}")" \
	--essential-hook="install -D -m 0644 '$authority' \"\$1/usr/local/share/ca-certificates/q8s-lab.crt\"" \
	--aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Check-Date "false"' \
	--aptopt='APT::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/lib/udev/hwdb.d/*' --dpkgopt='path-exclude=/etc/kernel/postinst.d/initramfs-tools' \
	"$suite" "$root" "${sources[@]}"

"$here/nobodys.sh" "$root"
rm -f "$root"/usr/lib/udev/hwdb.bin "$root"/etc/udev/hwdb.bin
cp -r "$files/." "$root/"
ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

systemctl --root="$root" enable systemd-networkd.service systemd-resolved.service ssh.service
# Units that cost seconds under emulation and do nothing for a node.
masked=(
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
	systemd-pstore.service systemd-firstboot.service ldconfig.service systemd-hwdb-update.service
	systemd-journal-catalog-update.service systemd-network-generator.service getty@tty1.service sshd-keygen.service
	sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount modprobe@drm.service
	modprobe@fuse.service systemd-networkd-wait-online.service systemd-networkd-persistent-storage.service
	systemd-update-utmp.service systemd-sysusers.service cloud-init-hotplugd.socket
	systemd-udev-load-credentials.service systemd-random-seed.service
)
for unit in "${masked[@]}"; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
# Without these marks the first boot rebuilds caches that are fresh.
touch "$root/usr" "$root/etc/.updated" "$root/var/.updated"
