#!/usr/bin/env bash
# The emulated machine: its disks, its seed and its libvirt domain, started and set to start with the host.
# Arguments: image_sha256 or image_key, payload_key, disk (bytes), firmware_code, firmware_vars (empty where BIOS)
# inbox: domain.xml, seed/{user-data,meta-data,network-config}
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

: "${payload_key:?}" "${disk:?}"
data=/var/lib/libvirt/q8s
guest=$data/guest
install -d -m 0711 "$guest"

running() { [[ $(virsh -q domstate "$node" 2>/dev/null) = running ]]; }
# The mark is written last, so where it is, the guest is whole: it is never made anew but by being removed first, and other
# documents are for the next one.
mark=$guest/whole
if virsh -q dominfo "$node" >/dev/null 2>&1 && [[ -e $mark ]]; then
	if running; then
		progress "the guest runs already"
	else
		# The host's watch may have been faster.
		virsh -q start "$node" || running || fail "the guest does not start: see /var/log/libvirt/qemu/$node.log"
		progress "the guest was off: powered on"
	fi
	exit 0
fi
if virsh -q dominfo "$node" >/dev/null 2>&1; then
	virsh -q destroy "$node" >/dev/null 2>&1 || true
	virsh -q undefine --nvram "$node"
fi

progress "disks and seed"
base=$data/images/${image_sha256:-${image_key:?}}.qcow2
payload=$data/images/payload-$payload_key.qcow2
overlay() { # BASE OVERLAY BYTES: an overlay, at least as large as its base
	local size
	size=$(qemu-img info --output=json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["virtual-size"])')
	rm -f "$2"
	qemu-img create -q -f qcow2 -F qcow2 -b "$1" "$2" "$((size > $3 ? size : $3))"
}
overlay "$base" "$guest/root.qcow2" "$disk"
overlay "$payload" "$guest/payload.qcow2" "$disk"
# No guest is on another one any more.
find "$data/images" -name 'payload-*.qcow2' ! -name "${payload##*/}" -delete

mtu=$(cat "/sys/class/net/$(ip -json -4 route show default | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["dev"])')/mtu")
resolvers=/run/systemd/resolve/resolv.conf
[[ -e $resolvers ]] || resolvers=/etc/resolv.conf
nameservers=$(awk '$1 == "nameserver" && $2 !~ /^(127|::1)/ { printf "%s\"%s\"", sep, $2; sep = ", " }' "$resolvers")
sed -i "s/@MTU@/$mtu/; s/@NAMESERVERS@/$nameservers/" "$inbox/seed/network-config"
genisoimage -quiet -output "$guest/seed.iso" -volid cidata -joliet -rock \
	"$inbox/seed/user-data" "$inbox/seed/meta-data" "$inbox/seed/network-config"
chown -R libvirt-qemu:kvm "$guest"
chmod 0600 "$guest"/*.qcow2 "$guest/seed.iso"

progress "starting the guest"
: >/var/log/q8s/console.log
virsh -q define "$inbox/domain.xml" || fail "libvirt refuses the domain: see virsh define in $step_log"
virsh -q autostart "$node"
virsh -q start "$node" || fail "the guest does not start: see /var/log/libvirt/qemu/$node.log"
running || fail "the guest stopped at once: see /var/log/libvirt/qemu/$node.log"
touch "$mark"
progress "guest powered on"
