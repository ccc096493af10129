#!/usr/bin/env bash
# What guests of a type are made from, on a host whose image is to be one of workers' hosts: image, payload, and the state of
# another one, if there is one that goes on here. Prints nothing, or why there is none.
# Arguments and inbox: as define-guest.sh has them
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/guest-files.sh
. ./guest-files.sh
# shellcheck source=hostscripts/requirements.sh
. ./requirements.sh
# shellcheck source=hostscripts/guest-state.sh
. ./guest-state.sh

: "${artifacts:?}" "${disk:?}" "${type:?}" "${emulator:?}"
data=/var/lib/libvirt/q8s
install -d -m 0755 "$data" "$data/images"
install -d -m 0711 "$data/baked"
guest_base
guest_seed
key=$(state_key) code=0
said=$(states find "$data/baked/$key") || code=$?
case $code in
	0) ;;
	10)
		states leave "$said"
		printf 'no guest of it has left one that goes on with the QEMU of this host\n' >&3
		;;
	*) printf '%s\n' "$said" >&3 ;;
esac
