#!/usr/bin/env bash
# Keeps a guest going (docs/decisions/0011-a-guest-that-hangs.md):
# - One that is off is powered on: the emulator can crash, and a worker is to run. Not one that is half made or about to go, which
#   has no mark; nor one in a cluster that an operator stops for good, who stops this service first.
# - One that QEMU has paused as its disk had no room on the host is resumed when there is room again. One that is paused for any
#   other reason (saved, migrated, by an operator) is left alone.
# - One that hangs while it boots is reset. An emulated machine of several CPUs can lose an interrupt then, and idles for ever.
#   Such a guest runs, has not answered on its link since it was powered on, computes next to nothing, and asks next to nothing of its disks.
#   One that boots slowly computes, or waits for its disks (a file system check); one that has answered is not reset, whatever it
#   does later.
# What does not help is done again after twice the time, until the guest answers.
# Environment: NODE, GUEST_ADDRESS, QUIET_SECONDS, POLL_SECONDS
set -euo pipefail
export LC_ALL=C.UTF-8

: "${NODE:?}" "${GUEST_ADDRESS:?}" "${QUIET_SECONDS:?}" "${POLL_SECONDS:?}"
readonly busy_percent=5 busy_requests_per_second=1 most_doublings=5 guest=${GUEST_FOLDER:-/var/lib/libvirt/q8s/guest} room_mebibytes=64

# Whatever a guest's firewall drops, it says its hardware address to who asks.
forget_neighbour() { ip -4 neigh flush to "$GUEST_ADDRESS"; }
answers() {
	(: >"/dev/udp/$GUEST_ADDRESS/9") 2>/dev/null || true
	ip -4 neigh show to "$GUEST_ADDRESS" | grep -q lladdr
}
# CPU time (ms) and disk requests since the emulator was started.
activity() {
	virsh -q domstats --cpu-total --block "$domain" | awk -F= '
		{ gsub(/ /, "", $1) }
		$1 == "cpu.time" { cpu = $2 / 1000000 }
		$1 ~ /^block\.[0-9]+\.(rd|wr)\.reqs$/ { requests += $2 }
		END { printf "%d %d\n", cpu, requests }'
}
free_mebibytes() { df --output=avail --block-size=1M "$guest" | tail -n 1; }

doubled() { echo "$(($1 < most_doublings ? $1 + 1 : $1))"; }

# paused: resume the guest where QEMU has paused it for want of room. It retries the request that had failed.
paused() {
	[[ $(virsh -q domstate --reason "$domain") = *"I/O error"* ]] || return 0
	local free
	free=$(free_mebibytes)
	if ((free < room_mebibytes)); then
		[[ $full = yes ]] || echo "$NODE is paused: the disk of its host is full, $((free)) MiB are free in $guest"
		full=yes
	elif ((SECONDS - paused_at >= POLL_SECONDS << resumes)); then
		echo "$NODE was paused by an I/O error of its disk, and $((free)) MiB are free in $guest: resumed"
		virsh -q resume "$domain" || true
		full=no resumes=$(doubled "$resumes") paused_at=$SECONDS
	fi
}

power_on=unknown starts=0
while sleep "$POLL_SECONDS"; do
	# libvirt's number of a run of the one domain, a dash where it is off; its name, of which an earlier release made another; its state.
	read -r now_on domain state < <(virsh -q list --all 2>/dev/null) || continue
	if [[ $now_on != "$power_on" ]]; then
		power_on=$now_on answered=no resets=0 used=0 asked=0 quiet_since=$SECONDS
		full=no resumes=0 paused_at=$((SECONDS - POLL_SECONDS))
		forget_neighbour
	fi
	if [[ $power_on = - ]]; then
		if [[ -e $guest/whole ]] && ((SECONDS - quiet_since >= POLL_SECONDS << starts)); then
			echo "$NODE is off ($(virsh -q domstate --reason "$domain")): powered on"
			virsh -q start "$domain" || true
			starts=$(doubled "$starts") quiet_since=$SECONDS
		fi
		continue
	fi
	if [[ $state = paused ]]; then
		quiet_since=$SECONDS
		paused || true
		continue
	fi
	full=no resumes=0
	if [[ $answered = yes ]]; then continue; fi
	if answers; then
		answered=yes starts=0
		continue
	fi
	before=$used asked_before=$asked
	read -r used asked < <(activity) || continue
	if [[ $state != running ]] || ((used - before > POLL_SECONDS * 10 * busy_percent)) ||
		((asked - asked_before > POLL_SECONDS * busy_requests_per_second)); then
		quiet_since=$SECONDS
	elif ((SECONDS - quiet_since >= QUIET_SECONDS << resets)); then
		echo "$NODE has not answered on its link since it was powered on, and has been idle for $((SECONDS - quiet_since)) s: reset"
		virsh -q reset "$domain"
		resets=$(doubled "$resets") quiet_since=$SECONDS
	fi
done
