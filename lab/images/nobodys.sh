#!/usr/bin/env bash
# Makes a root file system nobody's: nothing of the machine that built it stays, no archive address, identity or host key. What it
# trusts beside the public authorities is the lab's.
# Usage: nobodys.sh ROOT AUTHORITY  (a certificate)
set -euo pipefail
root=$1 authority=$2
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/etc/ssh/ssh_host_* \
	"$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*_*
: >"$root/etc/machine-id"
echo localhost >"$root/etc/hostname"
install -D -m 0644 "$authority" "$root/usr/local/share/ca-certificates/q8s-lab.crt"
chroot "$root" update-ca-certificates
