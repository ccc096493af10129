#!/usr/bin/env bash
# Runs a step as a unit of this host's systemd, so that it ends by itself whatever becomes of who asked for it, and never
# runs twice at once. Asked for the same step while it runs: follows it. Asked before anybody had its result: hands that
# over. Asked for another step of the same key: that one comes after the one that runs.
# Usage: run-step.sh KEY STEP LIMIT NODE LAYER [NAME=VALUE...], the step's documents on standard input (base64 of a tar.gz)
set -euo pipefail
umask 077

# Read to its end before it begins: another release may take this file's place meanwhile.
{
	key=$1 step=$2 limit=$3 node=$4 layer=$5
	shift 5
	scripts=$(dirname "$(realpath "$0")")
	unit=q8s-step-$key.service
	latest=/run/q8s/$key
	# What a step says may be a guest's words (its console, its logs): without what a terminal obeys (ECMA-48), C0 but tab and
	# newline, C1, and what reorders text; as q8s_infra/printable.py. Line by line, since somebody waits for each.
	printable() {
		LC_ALL=C sed --unbuffered --regexp-extended \
			-e 's/\x1b[]PX^_][^\x07\x1b]*(\x07|\x1b\\)?//g; s/\x1b\[[0-?]*[ -\/]*[@-~]?//g; s/\x1b[ -\/]*[0-~]?//g' \
			-e 's/\xc2[\x80-\x9f]//g; s/\xd8\x9c//g; s/\xe2(\x80[\x8e\x8f\xa8-\xae]|\x81[\xa6-\xa9])//g' \
			-e 's/\r+$//; s/\r/ /g; s/[\x00-\x08\x0b-\x1f\x7f]//g'
	}
	tell() { printf '%s: %s\n' "$node" "$*" >&2; }
	noted() { cat "$place/$1" 2>/dev/null || true; }
	# It runs, or is about to.
	active() { [[ $(systemctl show --property ActiveState --property Job "$unit") =~ activating|Job=[1-9] ]]; }
	# Who reads a result holds a share of it, so that it is there until all who follow the step have it.
	dropped() { [[ ! -d $place ]] || flock --exclusive --nonblock "$place/readers" rm -rf "$place" || true; }
	# Ends when the unit has; where it has ended already there is nothing to start, see step-unit.sh.
	followed() { systemctl start "$unit" >/dev/null 2>&1 || true; }

	mkdir -p /run/q8s
	documents=$(mktemp /run/q8s/.documents.XXXXXX)
	trap 'rm -f "$documents"' EXIT
	base64 -d >"$documents"
	digest=$({ printf '%s\0' "$step" "$@" && cat "$documents"; } | sha256sum)

	exec 9>"$latest.lock"
	flock 9
	place=$(readlink "$latest" || true)
	while active; do
		if [[ $(noted digest) = "$digest" ]]; then
			tell "$step runs already: following it"
			break
		elif [[ -e $place/idle ]]; then
			tell "an earlier step of another description waits: ending it"
			systemctl stop "$unit"
		else
			tell "an earlier step of another description runs: $step comes after it"
			followed
		fi
	done
	if [[ $(noted outcome) = 0 && $(noted digest) = "$digest" ]]; then
		tell "$step has come to its end already: its result"
	elif ! active; then
		dropped
		place=$(mktemp -d "$latest.XXXXXX")
		ln -sfn "$place" "$latest"
		mkdir "$place/work"
		cp "$scripts"/* "$place/work"
		tar -xzf "$documents" -C "$place/work"
		touch "$place/stderr"
		printf '%s' "$digest" >"$place/digest"
		systemd-run --quiet --collect --no-block --unit="$unit" --service-type=oneshot --property=User=root \
			bash "$place/work/step-unit.sh" "$place" "$limit" "step=$step" "node=$node" "layer=$layer" "$@"
	fi
	exec 8>"$place/readers"
	flock --shared 8
	flock --unlock 9

	followed &
	tail --lines=+1 --follow --sleep-interval=0.2 --pid=$! "$place/stderr" | printable >&2
	wait
	result=$(noted outcome)
	# Nobody reads any more: this ends here, and the result stays for the next who asks.
	if [[ $result = 0 ]]; then tell "$step has ended"; else tell "$step has failed"; fi
	[[ ! -e $place/stdout ]] || cat "$place/stdout"
	flock 9
	exec 8>&-
	dropped
	if [[ ! $result ]]; then
		echo "q8s: node $node, layer $layer, step $step: ended from outside before it was done: see journalctl -u $unit" >&2
	fi
	exit "${result:-1}"
}
