#!/bin/bash
# Boot a host and stay with it: launch.sh GROUP... -- COMMAND...
#
# Joins the control groups, then runs the command (systemd-nspawn) until the host is off. Where no systemd supervises it,
# nspawn reports a reboot asked for inside the host by exit code 133 and leaves starting again to its caller.
set -euo pipefail

while [ "$1" != -- ]; do
  echo $$ >"$1/cgroup.procs"
  shift
done
shift

while true; do
  status=0
  "$@" || status=$?
  [ "$status" = 133 ] || exit "$status"
done
