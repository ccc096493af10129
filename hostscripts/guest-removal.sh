# shellcheck shell=bash
# The guest on this host: which one it is, and its removal. Uses domain (domain.sh), data and guest.

# described_guest: the machine id of the guest that this step describes (inbox/join.json). Every replacement has another one.
described_guest() {
	python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["identity"]["etc/machine-id"][0].strip())' "$inbox/join.json"
}

# record_guest ID: keep which guest this is. The record is whole or not there, also when the host crashes or its disk is full.
record_guest() {
	[[ $(cat "${guest:?}/described" 2>/dev/null) != "$1" ]] || return 0
	echo "$1" >"$guest/described.new"
	sync "$guest/described.new"
	mv "$guest/described.new" "$guest/described"
}

# is_another_guest ID: whether a guest with another id is recorded. Guests of earlier releases have no record.
is_another_guest() { [[ -s ${guest:?}/described && $(<"$guest/described") != "$1" ]]; }

# remove_guest: the guest, its disks and its saved states; its image and payload stay.
remove_guest() {
	# Without the mark the host's watch does not power it on again (q8s-guest-watch.sh).
	rm -f "${guest:?}/whole"
	# A guest of an earlier release has joined by itself.
	systemctl stop q8s-join-guest.service || true
	if virsh -q dominfo "$domain" >/dev/null 2>&1; then
		virsh -q shutdown "$domain" >/dev/null 2>&1 || true
		virsh -q destroy "$domain" >/dev/null 2>&1 || true
		virsh -q undefine --nvram "$domain"
	fi
	rm -rf "$guest" "${data:?}/states"
}
