#!/usr/bin/env bash
# No guest is of this architecture any more: what they were made from goes.
# Arguments: architecture
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

rm -rf "/var/lib/q8s/artifacts/${architecture:?}"
progress "image and payload of $architecture removed"
