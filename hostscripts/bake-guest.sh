#!/usr/bin/env bash
# What guests of a type are made from, on a host whose image is to be one of workers' hosts: image, payload, and the state of
# another one, if there is one that goes on here. Prints nothing, or why there is none.
# Arguments and inbox: as define-guest.sh has them, without join.json and states.key: this host has no guest, and makes no state.
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
key=$(state_key)
said=$(states get "$data/baked/$key") || printf '%s\n' "${said:-see $step_log}" >&3
