#!/usr/bin/env bash
# Resets a guest that hangs while it boots. An emulated machine of several CPUs can lose an interrupt then, and idles for ever
# (docs/decisions/0011-a-guest-that-hangs.md). Such a guest runs, has not answered on its link since it was powered on, and
# computes next to nothing. One that boots slowly computes; one that has answered is left alone, whatever it does later.
# Environment: NODE, GUEST_ADDRESS, QUIET_SECONDS (twice as long after each reset of the same power-on), POLL_SECONDS
set -euo pipefail

: "${NODE:?}" "${GUEST_ADDRESS:?}" "${QUIET_SECONDS:?}" "${POLL_SECONDS:?}"
readonly busy_percent=5 most_doublings=5

# Whatever a guest's firewall drops, it says its hardware address to who asks.
forget_neighbour() { ip -4 neigh flush to "$GUEST_ADDRESS"; }
answers() {
	(: >"/dev/udp/$GUEST_ADDRESS/9") 2>/dev/null || true
	ip -4 neigh show to "$GUEST_ADDRESS" | grep -q lladdr
}
cpu_milliseconds() {
	virsh -q domstats --cpu-total "$NODE" | awk -F= '$1 ~ /cpu\.time$/ { printf "%d", $2 / 1000000; exit }'
}

power_on=unknown
while sleep "$POLL_SECONDS"; do
	# libvirt's number of a run of the domain; a dash where it is off.
	now_on=$(virsh -q domid "$NODE" 2>/dev/null) || continue
	if [[ $now_on != "$power_on" ]]; then
		power_on=$now_on answered=no resets=0 used=0 quiet_since=$SECONDS
		forget_neighbour
	fi
	if [[ $power_on = - || $answered = yes ]]; then continue; fi
	if answers; then
		answered=yes
		continue
	fi
	before=$used used=$(cpu_milliseconds) || continue
	if [[ $(virsh -q domstate "$NODE") != running ]] || ((used - before > POLL_SECONDS * 10 * busy_percent)); then
		quiet_since=$SECONDS
	elif ((SECONDS - quiet_since >= QUIET_SECONDS << resets)); then
		echo "$NODE has not answered on its link since it was powered on, and has been idle for $((SECONDS - quiet_since)) s: reset"
		virsh -q reset "$NODE"
		resets=$((resets < most_doublings ? resets + 1 : resets)) quiet_since=$SECONDS
	fi
done
