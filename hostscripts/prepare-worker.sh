#!/usr/bin/env bash
# A worker's host: libvirt and QEMU, and the network that the guest answers on.
# Arguments: address, guest_address
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/access.sh
. ./access.sh
# shellcheck source=hostscripts/apt.sh
. ./apt.sh
# shellcheck source=hostscripts/cloud-init.sh
. ./cloud-init.sh
# shellcheck source=hostscripts/requirements.sh
. ./requirements.sh
# shellcheck source=hostscripts/site-ca.sh
. ./site-ca.sh
# shellcheck source=hostscripts/link.sh
. ./link.sh
# shellcheck source=hostscripts/guest-network.sh
. ./guest-network.sh

: "${address:?}" "${guest_address:?}"
data=/var/lib/libvirt/q8s
install -d -m 0755 "$data" "$data/images" /var/lib/q8s /etc/q8s

user_keys
unused_connections
first_boot
host_has systemd
no_own_firewall
progress "package sources"
apt_host_sources

progress "installing libvirt and QEMU"
mapfile -t host_packages <"$inbox/host-packages"
apt_install "${host_packages[@]}"
host_has Python libvirt QEMU
# libvirt keeps its networks' MAC tables here, and makes the folder only for networks with DHCP.
install -d -m 0755 /var/lib/libvirt/dnsmasq
systemctl reset-failed libvirtd.service libvirtd.socket || true
systemctl enable --now libvirtd.service
retry 5 virsh -q uri >/dev/null || fail "libvirtd does not answer: see journalctl -u libvirtd"
unused_default_network

progress "guest network"
guest_network
guest_watch
guest_joins
guest_upgrades
if place "$inbox/haproxy.cfg" /etc/haproxy/haproxy.cfg 0644 || ! systemctl -q is-active haproxy.service; then
	haproxy -q -c -f /etc/haproxy/haproxy.cfg || fail "HAProxy refuses /etc/haproxy/haproxy.cfg: see $step_log"
	systemctl enable --quiet haproxy.service
	systemctl reset-failed haproxy.service || true
	systemctl reload-or-restart haproxy.service
fi
progress "host prepared"
