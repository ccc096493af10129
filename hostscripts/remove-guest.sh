#!/usr/bin/env bash
# Takes the emulated machine off its host; images and payload stay for the next one.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

guest=/var/lib/libvirt/q8s/guest
# Without the mark nobody powers it on again (q8s-guest-watch.sh).
rm -f "$guest/whole"
# A guest of an earlier release has joined by itself.
systemctl stop q8s-join-guest.service || true
if virsh -q dominfo "$node" >/dev/null 2>&1; then
	virsh -q shutdown "$node" >/dev/null 2>&1 || true
	virsh -q destroy "$node" >/dev/null 2>&1 || true
	virsh -q undefine --nvram "$node"
fi
rm -rf "$guest"
progress "guest removed"
