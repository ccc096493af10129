#!/usr/bin/env bash
# Takes the emulated machine off its host; images and payload stay for the next one.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/domain.sh
. ./domain.sh

data=/var/lib/libvirt/q8s
guest=$data/guest
# Without the mark nobody powers it on again (q8s-guest-watch.sh).
rm -f "$guest/whole"
# A guest of an earlier release has joined by itself.
systemctl stop q8s-join-guest.service || true
if virsh -q dominfo "$domain" >/dev/null 2>&1; then
	virsh -q shutdown "$domain" >/dev/null 2>&1 || true
	virsh -q destroy "$domain" >/dev/null 2>&1 || true
	virsh -q undefine --nvram "$domain"
fi
rm -rf "$guest" "$data/states"
progress "guest removed"
