#!/usr/bin/env bash
# In a step's unit: runs the step, once, for so many seconds at most. Its documents are gone when it ends, and its outcome
# is written last. Usage: step-unit.sh PLACE LIMIT step=STEP node=NODE layer=LAYER [NAME=VALUE...]
set -uo pipefail
umask 077

place=$1 limit=$2
shift 2
mkdir "$place/began" || exit 0
# Ended from outside: without an outcome, but after all that the step has started. Else systemd may take the unit for running
# until its time to stop is over, where nothing tells it of an empty control group (cgroups v1).
trap 'exit 143' TERM

cd "$place/work" || exit
timeout --kill-after=60 "$limit" bash "./${1#step=}.sh" "$@" >"$place/stdout" 2>>"$place/stderr"
outcome=$?
if ((outcome == 124)); then
	echo "q8s: ${2/=/ }, ${3/=/ }, ${1/=/ }: ended after its limit of $limit s" >>"$place/stderr"
fi
cd /
rm -rf "$place/work"
echo "$outcome" >"$place/outcome.new"
mv "$place/outcome.new" "$place/outcome"
exit "$outcome"
