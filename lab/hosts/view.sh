#!/bin/bash
# Run a host's command beside lxcfs: view.sh VIEW COMMAND...
#
# lxcfs, a file system, shows at VIEW (an absolute path) the /proc of a machine as large as the control groups of whoever
# reads it. It ends with the command, and its mount with the mount namespace: run this in one of its own.
set -euo pipefail
view=$1
shift

lxcfs --foreground --pidfile="$view.pid" "$view" >"$view.log" 2>&1 &
lxcfs=$!
until [ -e "$view/proc/meminfo" ]; do
  if ! kill -0 "$lxcfs" 2>/dev/null; then
    cat "$view.log" >&2
    exit 1
  fi
  sleep 0.05
done
status=0
"$@" || status=$?
kill "$lxcfs"
wait "$lxcfs" || true
exit "$status"
