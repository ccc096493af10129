#!/usr/bin/env bash
# The emulated machine: its disks, its seed and its libvirt domain, started and set to start with the host.
# Arguments: artifacts (the URL of what is served), architecture, image (the name of its file), payload_key, disk (bytes),
# memory (bytes), checksums: image_sha256, payload_sha256, kubernetes_sha256; type, emulator and cpu_model, patience (seconds that
# a boot is awaited), resumes=no where a guest of this architecture does not go on from another one's state
# inbox: domain.xml, join.json (what makes the guest a node, for q8s_join_guest.py), seed/{user-data,meta-data,network-config},
# states.pem (what states are verified with), states.key (this guest's credential to make one)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/domain.sh
. ./domain.sh
# shellcheck source=hostscripts/guest-power.sh
. ./guest-power.sh
# shellcheck source=hostscripts/emulator.sh
. ./emulator.sh
# shellcheck source=hostscripts/guest-files.sh
. ./guest-files.sh
# shellcheck source=hostscripts/guest-removal.sh
. ./guest-removal.sh
# shellcheck source=hostscripts/requirements.sh
. ./requirements.sh
# shellcheck source=hostscripts/guest-state.sh
. ./guest-state.sh
# shellcheck source=hostscripts/link.sh
. ./link.sh

: "${artifacts:?}" "${architecture:?}" "${image:?}" "${payload_key:?}" "${disk:?}" "${memory:?}" "${type:?}" "${patience:?}"
data=/var/lib/libvirt/q8s
guest=$data/guest
described=$(described_guest)
if is_another_guest "$described"; then
	# Only a step that is created replaces a guest: its node was drained before. Documents that change are for the next one.
	[[ ${update:-no} = no ]] ||
		fail "this host has another guest than the stack's state says: the state is older than the host. Import the newer state, or replace the guest: pulumi up --replace the URN of $node-guest"
	progress "removing the guest that this one replaces"
	remove_guest
fi
install -d -m 0711 "$guest"

# of_chain FILE WHICH FIELD: what qemu-img knows of a disk, which may be in use: of itself (0), or of the one below all others (-1).
of_chain() {
	qemu-img info --force-share --backing-chain --output=json "$1" |
		python3 -c 'import json, sys; print(json.load(sys.stdin)[int(sys.argv[1])][sys.argv[2]])' "$2" "$3"
}

# The mark is written last, so where it is, the guest is complete. Other documents are for the next one.
mark=$guest/whole
if virsh -q dominfo "$domain" >/dev/null 2>&1 && [[ -e $mark ]]; then
	guest_powered
	record_guest "$described"
	# It comes with each run, and this guest has its identity.
	state_done
	# A step that was cut off while it handed a state over has left its largest part, and the guest has all of it.
	rm -f "$data"/states/*/memory
	# It goes on with its own payload, and gets from another one what a version of Kubernetes is: on its own link, when it is
	# asked to (upgrade-guest.sh).
	own=$(of_chain "$guest/payload.qcow2" -1 filename)
	if [[ ${own##*/} != "payload-$payload_key.qcow2" ]]; then
		served "kubernetes-$payload_key.tar" "$data/kubernetes.tar" "${kubernetes_sha256:?}"
		systemctl enable --quiet --now q8s-payload.socket
	fi
	exit 0
fi
if virsh -q dominfo "$domain" >/dev/null 2>&1; then
	virsh -q destroy "$domain" >/dev/null 2>&1 || true
	virsh -q undefine --nvram "$domain"
fi
domain=guest
# Nobody is to be told who it is before its state is saved.
systemctl stop q8s-join-guest.service

emulator_has "${emulator:?}" "${cpu_model:?}" "nodeTypes.$type.cpuModel"

# What was for another guest (q8s-join.sh takes what is offered).
systemctl disable --quiet --now q8s-payload.socket
rm -f "$data/kubernetes.tar"

guest_base

progress "disks and seed"
overlay() { # BASE OVERLAY: an overlay of the type's size, or as large as its base
	local size
	size=$(of_chain "$1" 0 virtual-size)
	rm -f "$2"
	qemu-img create -q -f qcow2 -F qcow2 -b "$1" "$2" "$((size > disk ? size : disk))"
}
disks_on() { # ROOT PAYLOAD: the guest's disks, on these
	overlay "$1" "$guest/root.qcow2"
	overlay "$2" "$guest/payload.qcow2"
	chown -R libvirt-qemu:kvm "$guest"
	chmod 0600 "$guest"/*.qcow2
}
guest_seed
genisoimage -quiet -output "$guest/seed.iso" -volid cidata -joliet -rock \
	"$inbox/seed/user-data" "$inbox/seed/meta-data" "$inbox/seed/network-config"
chmod 0600 "$guest/seed.iso"
: >/var/log/q8s/console.log
virsh -q define "$inbox/domain.xml" || fail "libvirt refuses the domain: see virsh define in $step_log"
virsh -q autostart "$domain"

# No guest is on others any more.
find "$data/images" -type f ! -name "${base##*/}" ! -name "${payload##*/}" -delete
boots() {
	disks_on "$base" "$payload"
	progress "starting the guest"
	virsh -q start "$domain" || fail "the guest does not start: see /var/log/libvirt/qemu/$domain.log"
	running || fail "the guest stopped at once: see /var/log/libvirt/qemu/$domain.log"
}
# It may have changed while the former guest ran.
link_current
state_find
state_resumed || {
	boots
	state_made || boots
}
record_guest "$described"
# Before the guest gets its identity, and with it workloads. What is announced is uploaded meanwhile.
state_announced
state_done
install -m 0600 "$inbox/join.json" "$guest/join.json"
# Before the mark: nobody would join a whole guest whose step was cut off between them.
systemctl restart --no-block q8s-join-guest.service
touch "$mark"
progress "guest powered on"
# Meanwhile it becomes a node.
state_given
rm -f "$state/memory"
