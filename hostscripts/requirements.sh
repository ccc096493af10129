# shellcheck shell=bash
# What a host must be: recent enough, without swap where kubelet runs, without a firewall or a libvirt network of its own.

# The oldest releases that hosts may have, mirrored in docs/operators.md (Hosts). Reasons: LoadCredential (systemd 247), the
# programs of this folder (Python 3.9), the CRI that kubelet has since Kubernetes 1.26 (containerd 1.6), <tcg><tb-cache> of a
# domain (libvirt 7.10); libvirt 8.0 and QEMU 6.2 are Ubuntu 22.04's.
oldest_releases="
systemd 247
Python 3.9
containerd 1.6
libvirt 8.0
QEMU 6.2
"

host_swaps=${host_swaps:-/proc/swaps}
host_fstab=${host_fstab:-/etc/fstab}
# Written when a node's guest is complete, or its control plane is in a cluster.
host_marks=${host_marks:-/var/lib/libvirt/q8s/guest/whole /var/lib/q8s-initialised /var/lib/q8s-joined}

# host_release NAME: the installed release of one of the above, or nothing.
host_release() {
	local said=""
	case $1 in
		systemd) said=$(systemctl --version 2>/dev/null) || true ;;
		Python) said=$(python3 --version 2>/dev/null) || true ;;
		# Behind the address of its source, which has a number of its own (containerd/v2).
		containerd) said=$(containerd --version 2>/dev/null | cut -d' ' -f3) || true ;;
		libvirt) said=$(virsh --version 2>/dev/null) || true ;;
		QEMU) said=$(qemu-img --version 2>/dev/null) || true ;;
	esac
	if [[ $said =~ [0-9]+(\.[0-9]+)* ]]; then echo "${BASH_REMATCH[0]}"; fi
}

# at_least NEEDED FOUND: compare two releases; false where FOUND is empty.
at_least() { [[ $2 ]] && printf '%s\n' "$1" "$2" | sort -V -C; }

# host_has NAME...: these are installed and recent enough.
host_has() {
	local name oldest found
	while read -r name oldest; do
		[[ $name && " $* " = *" $name "* ]] || continue
		found=$(host_release "$name")
		at_least "$oldest" "$found" ||
			fail "$name $oldest or newer is needed on this host, which has ${found:-none}: set hostImage to Ubuntu 22.04, Debian 12 or newer, then replace this host"
	done <<<"$oldest_releases"
}

# swap_off: turn swap off and keep it off, as kubelet refuses to start with it. A container has its machine's swap, which stays.
swap_off() {
	if systemd-detect-virt --quiet --container; then return; fi
	if grep -Eq '^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]' "$host_fstab"; then
		progress "turning swap off in $host_fstab: kubelet does not start with it"
		sed -Ei 's/^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]/# q8s: &/' "$host_fstab"
		systemctl daemon-reload
	fi
	if swap_is_on; then
		progress "turning swap off: kubelet does not start with it"
		# What no line of fstab brings back: units of the image, partitions that systemd finds.
		systemctl mask --quiet swap.target
		swapoff --all || fail "swap cannot be turned off: has this host enough free memory? Choose a flavor and an image without swap"
	fi
	if swap_is_on; then fail "swap is still on after swapoff --all: see /proc/swaps. Choose a flavor and an image without swap"; fi
}

# swap_is_on: the first line is a heading.
swap_is_on() { [[ $(tail -n +2 "$host_swaps") ]]; }

# no_own_firewall: a new host has no active ufw, which drops what nodes and guests send to each other. One that runs a node already is
# only warned of: its operator may have opened what is needed.
no_own_firewall() {
	local mark
	command -v ufw >/dev/null || return 0
	[[ $(ufw status) = *"Status: active"* ]] || return 0
	for mark in $host_marks; do
		[[ ! -e $mark ]] || {
			progress "ufw is active on this host: it may drop what nodes and guests send to each other, and on q8s0 ports 53, 6443 and 9473"
			return 0
		}
	done
	fail "ufw is active on this host, and drops what nodes and guests send to each other: the cluster's security group is the firewall. Run ufw disable there, or set hostImage to an image without it"
}

# unused_default_network: take libvirt's network "default" down where no domain uses it: its range, 192.168.122.0/24, would hide the
# site's machines that have such addresses.
unused_default_network() {
	local each
	virsh -q net-info default >/dev/null 2>&1 || return 0
	for each in $(virsh -q list --all --name); do
		if virsh -q domiflist "$each" | awk '$2 == "network" && $3 == "default" { used = 1 } END { exit !used }'; then return 0; fi
	done
	virsh -q net-autostart --disable default
	if virsh -q net-list --name | grep -x default >/dev/null; then virsh -q net-destroy default; fi
}
