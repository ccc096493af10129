# shellcheck shell=bash
# The link between a host and its guest, the forwarding of everything but SSH, and who looks whether the guest comes up.

# guest_network: a libvirt network of our own and the service that owns its NAT rules.
guest_network() {
	local mtu nic changed=no
	nic=$(ip -json -4 route show default | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["dev"])')
	mtu=$(cat "/sys/class/net/$nic/mtu")

	sed "s/@MTU@/$mtu/" "$inbox/network.xml" >"$inbox/network.filled.xml"
	if place "$inbox/network.filled.xml" "$data/network.xml" 0644 || ! virsh -q net-info q8s >/dev/null 2>&1; then
		virsh -q net-destroy q8s >/dev/null 2>&1 || true
		virsh -q net-define "$data/network.xml"
		changed=yes
	fi
	virsh -q net-autostart q8s
	[[ $(virsh -q net-info q8s | awk '$1 == "Active:" { print $2 }') = yes ]] || virsh -q net-start q8s

	if place "$inbox/q8s-forward.sh" /usr/local/sbin/q8s-forward 0755; then changed=yes; fi
	if place "$inbox/q8s-forward.service" /etc/systemd/system/q8s-forward.service 0644; then changed=yes; fi
	printf 'NIC=%s\nNODE_ADDRESS=%s\nGUEST_ADDRESS=%s\n' "$nic" "$address" "$guest_address" >"$inbox/forward.env"
	if place "$inbox/forward.env" /etc/q8s/forward.env 0644; then changed=yes; fi
	systemctl daemon-reload
	systemctl enable -q q8s-forward.service
	if [[ $changed = yes ]] || ! systemctl -q is-active q8s-forward.service; then systemctl restart q8s-forward.service; fi
	iptables -t nat -C PREROUTING -j Q8S-PREROUTING || fail "the forwarding rules are not in place"
}

# guest_watch: the service that resets a guest which hangs while it boots.
guest_watch() {
	local changed=no
	printf 'NODE=%s\nGUEST_ADDRESS=%s\n' "$node" "$guest_address" >"$inbox/guest-watch.env"
	if place "$inbox/guest-watch.env" /etc/q8s/guest-watch.env 0644; then changed=yes; fi
	if place "$inbox/q8s-guest-watch.sh" /usr/local/sbin/q8s-guest-watch 0755; then changed=yes; fi
	if place "$inbox/q8s-guest-watch.service" /etc/systemd/system/q8s-guest-watch.service 0644; then changed=yes; fi
	systemctl daemon-reload
	systemctl enable -q q8s-guest-watch.service
	if [[ $changed = yes ]] || ! systemctl -q is-active q8s-guest-watch.service; then
		systemctl restart q8s-guest-watch.service
	fi
}
