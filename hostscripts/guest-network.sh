# shellcheck shell=bash
# The link between a host and its guest, the forwarding of everything but SSH, who looks whether the guest comes up,
# who makes it a node, and who hands it other executables.

# guest_network: a libvirt network of our own and the service that owns its NAT rules.
guest_network() {
	local nic mtu changed=no
	nic=$(ip -json -4 address | python3 -c '
import json, sys
for link in json.load(sys.stdin):
    if sys.argv[1] in (each.get("local") for each in link.get("addr_info", ())):
        print(link["ifname"])
        break' "${address:?}")
	[[ $nic ]] || fail "no interface of this host has the node's address $address: compare ip address with the port's address in OpenStack"
	mtu=$(cat "/sys/class/net/$nic/mtu")

	sed "s/@MTU@/$mtu/" "$inbox/network.xml" >"$inbox/network.filled.xml"
	if ! cmp -s "$inbox/network.filled.xml" "$data/network.xml" || ! virsh -q net-info q8s >/dev/null 2>&1; then
		link_defined "$inbox/network.filled.xml"
		place "$inbox/network.filled.xml" "$data/network.xml" 0644 || true
		changed=yes
	fi
	virsh -q net-autostart q8s
	link_current || progress "the guest runs, so its link changes when the host boots next, or with the next guest on this host"

	printf 'NIC=%s\nNODE_ADDRESS=%s\nGUEST_ADDRESS=%s\n' "$nic" "$address" "${guest_address:?}" >"$inbox/forward.env"
	host_service forward "$changed"
	{ iptables --wait -t nat -C PREROUTING -j Q8S-PREROUTING && iptables --wait -C FORWARD -j Q8S-FORWARD &&
		iptables --wait -C INPUT -j Q8S-INPUT; } || fail "the forwarding rules are not in place"
}

# guest_watch: the service that powers the guest on where it is off, and resets it where it hangs while it boots.
guest_watch() {
	printf 'NODE=%s\nGUEST_ADDRESS=%s\n' "$node" "$guest_address" >"$inbox/guest-watch.env"
	host_service guest-watch no
}

# guest_joins: the service that makes the guest a node; it has nothing to do until there is one.
guest_joins() {
	local changed=no
	if place "$inbox/q8s_join_guest.py" /usr/local/sbin/q8s-join-guest 0755; then changed=yes; fi
	if place "$inbox/q8s-join-guest.service" /etc/systemd/system/q8s-join-guest.service 0644; then changed=yes; fi
	if [[ $changed = yes ]]; then systemctl daemon-reload; fi
	systemctl enable -q q8s-join-guest.service
	if [[ $changed = yes ]]; then systemctl try-restart q8s-join-guest.service; fi
}

# guest_upgrades: the service that hands another version of Kubernetes to the guest; its socket opens where there is one.
guest_upgrades() {
	local unit changed=no
	for unit in q8s-payload@.service q8s-payload.socket; do
		if place "$inbox/$unit" "/etc/systemd/system/$unit" 0644; then changed=yes; fi
	done
	if [[ $changed = yes ]]; then systemctl daemon-reload; fi
}

# host_service NAME CHANGED: a service of ours, with its script and its variables; restarted where it does not run with these files, or
# where something else that it stands on has changed (CHANGED=yes).
host_service() {
	local name=$1 changed=$2 started=/run/q8s-$1.started files
	local script=/usr/local/sbin/q8s-$name unit=/etc/systemd/system/q8s-$name.service variables=/etc/q8s/$name.env
	place "$inbox/q8s-$name.sh" "$script" 0755 || true
	place "$inbox/q8s-$name.service" "$unit" 0644 || true
	place "$inbox/$name.env" "$variables" 0644 || true
	systemctl daemon-reload
	systemctl enable -q "q8s-$name.service"
	# Not by what was placed just now: a step that was cut off before the restart would never restart it.
	files=$(cat "$script" "$unit" "$variables" | sha256sum)
	if [[ $changed = yes || ! -e $started || $(<"$started") != "$files" ]] || ! systemctl -q is-active "q8s-$name.service"; then
		systemctl restart "q8s-$name.service"
		echo "$files" >"$started"
	fi
}
