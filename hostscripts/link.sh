# shellcheck shell=bash
# The libvirt network between this host and its guest. A guest that runs keeps the one that it was started on: its interface is gone
# with it, and does not come back.

# libvirt has another definition than the network that runs; nothing is left of this when the host boots.
readonly link_changed=/run/q8s-link-changed

# link_defined FILE: the network as libvirt starts it next.
link_defined() {
	local uuid
	# libvirt takes another definition of a name only with the UUID that it gave the first one.
	uuid=$(virsh -q net-uuid q8s 2>/dev/null) || uuid=""
	sed "s,<name>q8s</name>,&${uuid:+<uuid>$uuid</uuid>}," "$1" >"$1.defined"
	virsh -q net-define "$1.defined"
	touch "$link_changed"
}

# link_current: start the network, or restart it where its definition has changed. False where a guest runs on the former one.
link_current() {
	local running
	if [[ -e $link_changed ]] && link_active; then
		running=$(virsh -q list --name) || return 1
		[[ ! $running ]] || return 1
		virsh -q net-destroy q8s
	fi
	if ! link_active; then
		virsh -q net-start q8s || fail "the link to the guest does not start: does this host have its addresses or its port 53 in use? See libvirt's words in ${step_log:?}"
		rm -f "$link_changed"
	fi
}

link_active() { [[ $(virsh -q net-info q8s | awk '$1 == "Active:" { print $2 }') = yes ]]; }
