#!/usr/bin/env bash
# Remove the guest of a step of an earlier release: its stack's state still has this as the step's deletion.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/domain.sh
. ./domain.sh
# shellcheck source=hostscripts/guest-removal.sh
. ./guest-removal.sh

# shellcheck disable=SC2034  # guest-removal.sh's
data=/var/lib/libvirt/q8s guest=/var/lib/libvirt/q8s/guest
remove_guest
progress "guest removed"
