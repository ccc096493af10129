#!/usr/bin/env bash
# Runs a step as a unit of this host's systemd, so that it ends by itself whatever becomes of who asked for it, and never
# runs twice at once. Asked for the same step while it runs: follows it. Asked soon after it has succeeded, before anybody had
# its result: hands that over. Asked for another step of the same key: that one comes after the one that runs. A step on request
# (q8s_infra/hosts.py) has an argument of its own for each request, so it is never the same as an earlier one.
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
	# /run is memory: documents and results larger than this many bytes are on the disk.
	disk=/var/lib/q8s/steps small=$((4 << 20))
	# Seconds for which an unread result is true. After a lost connection the next run comes sooner; kubeadm, too, lets what it
	# hands over for a join (certificates, their key) expire after two hours.
	fresh=7200
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
	# Remove a folder of a step that ended, unless someone reads its result: readers hold a shared lock.
	removed() { [[ ! -d $1 ]] || flock --exclusive --nonblock "$1/readers" rm -rf "$1" || true; }
	# At the end of each reader, also of one whose connection is gone: the last one removes a result that was delivered.
	# shellcheck disable=SC2329 # the trap below
	leave() {
		flock 9
		exec 8>&-
		[[ ! -e $place/delivered ]] || removed "$place"
	}
	# A clock that was set back makes results old, too.
	is_fresh() {
		local age
		age=$(($(date +%s) - $(stat -c %Y "$1/outcome")))
		((age >= 0 && age < fresh))
	}
	# Remove the folders on the disk that no key's link leads to (the host crashed or was restarted), and results that are old.
	swept() {
		local folder link
		for folder in "$disk"/*/; do
			folder=${folder%/} link=/run/q8s/$(basename "${folder%.*}")
			[[ -d $folder ]] || continue
			if [[ $(readlink "$link" || true) != "$folder" ]] || { [[ -e $folder/outcome ]] && ! is_fresh "$folder"; }; then
				removed "$folder"
			fi
		done
	}
	# Ends when the unit has; where it has ended already there is nothing to start, see step-unit.sh.
	followed() { systemctl start "$unit" >/dev/null 2>&1 || true; }
	# unnamed FOLDER: opens `opened`, a file that is gone with this process, however that ends.
	unnamed() {
		local name
		name=$(mktemp "$1/.documents.XXXXXX")
		exec {opened}<>"$name"
		rm "$name"
	}

	mkdir -p /run/q8s
	# Others read what is beside it. On a full disk there may be none, and small documents need none.
	{ (umask 022 && mkdir -p "$(dirname "$disk")") && mkdir -p "$disk"; } || true
	folder=/run/q8s
	# Its result is as large as etcd's data.
	if [[ $step = snapshot ]]; then folder=$disk; fi
	unnamed /run/q8s
	text=$opened next=
	head -c "$small" >&"$text"
	# More than that? It is text, without zero bytes.
	if IFS= read -r -N 1 next; then folder=$disk; fi
	unnamed "$folder"
	documents=/proc/$$/fd/$opened
	{ cat "/proc/$$/fd/$text" && printf '%s' "$next" && cat; } | base64 -d >"$documents"
	exec {text}>&-
	# Small when packed, and large when unpacked?
	if [[ $folder != "$disk" ]] && (($(gzip -dc <"$documents" | wc -c) > small)); then folder=$disk; fi
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
	if [[ $(noted outcome) = 0 && $(noted digest) = "$digest" && ! -e $place/delivered ]] && is_fresh "$place"; then
		tell "$step has come to its end already: its result"
	elif ! active; then
		[[ ! $place ]] || removed "$place"
		# No other key sweeps between the folder and its link.
		exec 8>/run/q8s/.sweep.lock
		flock 8
		swept
		place=$(mktemp -d "$folder/$key.XXXXXX")
		ln -sfn "$place" "$latest"
		exec 8>&-
		mkdir "$place/work"
		cp "$scripts"/* "$place/work"
		tar -xzf "$documents" -C "$place/work"
		touch "$place/stderr"
		printf '%s' "$digest" >"$place/digest"
		systemd-run --quiet --collect --no-block --unit="$unit" --service-type=oneshot --property=User=root \
			bash "$place/work/step-unit.sh" "$place" "$limit" "step=$step" "node=$node" "layer=$layer" "$@"
	fi
	exec {opened}>&-
	exec 8>"$place/readers"
	flock --shared 8
	trap leave EXIT
	flock --unlock 9

	followed &
	tail --lines=+1 --follow --sleep-interval=0.2 --pid=$! "$place/stderr" | printable >&2
	wait
	result=$(noted outcome)
	# Nobody reads any more: this ends here, and the result stays for the next who asks.
	if [[ $result = 0 ]]; then tell "$step has ended"; else tell "$step has failed"; fi
	[[ ! -e $place/stdout ]] || cat "$place/stdout"
	touch "$place/delivered" || true
	if [[ ! $result ]]; then
		echo "q8s: node $node, layer $layer, step $step: ended from outside before it was done: see journalctl -u $unit" >&2
	fi
	exit "${result:-1}"
}
