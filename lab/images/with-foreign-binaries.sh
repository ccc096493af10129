#!/usr/bin/env bash
# Runs a command with this machine able to execute another architecture's programs, by QEMU's user-mode emulation.
# Usage: with-foreign-binaries.sh ARCHITECTURE COMMAND...  (in a mount namespace of its own)
# What it registers it takes back; what was registered before stays.
set -euo pipefail
architecture=$1
shift
case $architecture in
"$(dpkg --print-architecture)") exec "$@" ;;
arm64) format=qemu-aarch64 ;;
riscv64) format=qemu-riscv64 ;;
ppc64el) format=qemu-ppc64le ;;
*) echo "no user-mode emulation known for $architecture" >&2; exit 2 ;;
esac

registry=/proc/sys/fs/binfmt_misc
[[ -e $registry/register ]] || mount -t binfmt_misc binfmt_misc "$registry"
if [[ ! -e $registry/$format ]]; then
	trap 'echo -1 >"$registry/$format"' EXIT
	/usr/lib/systemd/systemd-binfmt "$format.conf"
fi
"$@"
