#!/usr/bin/env bash
# Makes a root file system nobody's: nothing of the machine that built it stays, no archive address, identity or host key.
# Usage: nobodys.sh ROOT
set -euo pipefail
root=$1
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/etc/ssh/ssh_host_* \
	"$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*_*
: >"$root/etc/machine-id"
echo localhost >"$root/etc/hostname"
