#!/usr/bin/env bash
# Keeps a guest going (docs/decisions/0011-a-guest-that-hangs.md):
# - One that is off is powered on: the emulator can crash, and a worker is to run. Not one that is half made or about to go, which
#   has no mark; nor one in a cluster that an operator stops for good, who stops this service first.
# - One that hangs while it boots is reset. An emulated machine of several CPUs can lose an interrupt then, and idles for ever.
#   Such a guest runs, has not answered on its link since it was powered on, and computes next to nothing. One that boots slowly
#   computes; one that has answered is left alone, whatever it does later.
# What does not help is done again after twice the time, until the guest answers.
# Environment: NODE, GUEST_ADDRESS, QUIET_SECONDS, POLL_SECONDS
set -euo pipefail

: "${NODE:?}" "${GUEST_ADDRESS:?}" "${QUIET_SECONDS:?}" "${POLL_SECONDS:?}"
readonly busy_percent=5 most_doublings=5 mark=/var/lib/libvirt/q8s/guest/whole

# Whatever a guest's firewall drops, it says its hardware address to who asks.
forget_neighbour() { ip -4 neigh flush to "$GUEST_ADDRESS"; }
answers() {
	(: >"/dev/udp/$GUEST_ADDRESS/9") 2>/dev/null || true
	ip -4 neigh show to "$GUEST_ADDRESS" | grep -q lladdr
}
cpu_milliseconds() {
	virsh -q domstats --cpu-total "$domain" | awk -F= '$1 ~ /cpu\.time$/ { printf "%d", $2 / 1000000; exit }'
}

doubled() { echo "$(($1 < most_doublings ? $1 + 1 : $1))"; }

power_on=unknown starts=0
while sleep "$POLL_SECONDS"; do
	# libvirt's number of a run of the one domain, a dash where it is off; and its name, of which an earlier release made another.
	read -r now_on domain _ < <(virsh -q list --all 2>/dev/null) || continue
	if [[ $now_on != "$power_on" ]]; then
		power_on=$now_on answered=no resets=0 used=0 quiet_since=$SECONDS
		forget_neighbour
	fi
	if [[ $power_on = - ]]; then
		if [[ -e $mark ]] && ((SECONDS - quiet_since >= POLL_SECONDS << starts)); then
			echo "$NODE is off ($(virsh -q domstate --reason "$domain")): powered on"
			virsh -q start "$domain" || true
			starts=$(doubled "$starts") quiet_since=$SECONDS
		fi
		continue
	fi
	if [[ $answered = yes ]]; then continue; fi
	if answers; then
		answered=yes starts=0
		continue
	fi
	before=$used used=$(cpu_milliseconds) || continue
	if [[ $(virsh -q domstate "$domain") != running ]] || ((used - before > POLL_SECONDS * 10 * busy_percent)); then
		quiet_since=$SECONDS
	elif ((SECONDS - quiet_since >= QUIET_SECONDS << resets)); then
		echo "$NODE has not answered on its link since it was powered on, and has been idle for $((SECONDS - quiet_since)) s: reset"
		virsh -q reset "$domain"
		resets=$(doubled "$resets") quiet_since=$SECONDS
	fi
done
