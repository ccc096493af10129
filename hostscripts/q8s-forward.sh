#!/usr/bin/env bash
# Forwards what reaches this host to its guest: everything but SSH (22), and 2222 to the guest's 22.
# The guest reaches neither the cloud's metadata, in which this host's user data has its private SSH key, nor any service of this
# host but those that it needs. IPv6 needs no rules: libvirt disables it on a link that has no IPv6 address.
# Own chains, filled in one transaction, so that a second run changes nothing that a first one made.
# Environment: NIC and NODE_ADDRESS (of this host), GUEST_ADDRESS
# Source of the scheme: section 3.1 (Networking) of the Q8S paper.
set -euo pipefail
: "${NIC:?}" "${NODE_ADDRESS:?}" "${GUEST_ADDRESS:?}"
# The bridge to the guest (render/domain.py), and there DNS, the API servers and another version's executables (defaults.py).
readonly link=q8s0 dns=53 api=6443 executables=9473

sysctl -q -w net.ipv4.ip_forward=1

# What is refused does not depend on the guest's address: root in a guest may send from any. What is not refused is still for the host's
# own firewall to decide, where it has one.
iptables-restore --noflush --wait <<RULES
*nat
:Q8S-PREROUTING - [0:0]
:Q8S-POSTROUTING - [0:0]
-A Q8S-PREROUTING -i $NIC -d $NODE_ADDRESS -p tcp --dport 22 -j RETURN
-A Q8S-PREROUTING -i $NIC -d $NODE_ADDRESS -p tcp --dport 2222 -j DNAT --to-destination $GUEST_ADDRESS:22
-A Q8S-PREROUTING -i $NIC -d $NODE_ADDRESS -p tcp -j DNAT --to-destination $GUEST_ADDRESS
-A Q8S-PREROUTING -i $NIC -d $NODE_ADDRESS -p udp -j DNAT --to-destination $GUEST_ADDRESS
-A Q8S-PREROUTING -i $NIC -d $NODE_ADDRESS -p sctp -j DNAT --to-destination $GUEST_ADDRESS
-A Q8S-POSTROUTING -s $GUEST_ADDRESS -o $NIC -j MASQUERADE
COMMIT
*filter
:Q8S-FORWARD - [0:0]
:Q8S-INPUT - [0:0]
-A Q8S-FORWARD -d 169.254.0.0/16 -j REJECT
-A Q8S-FORWARD -d $GUEST_ADDRESS -j ACCEPT
-A Q8S-FORWARD -s $GUEST_ADDRESS -j ACCEPT
-A Q8S-INPUT ! -i $link -j RETURN
-A Q8S-INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
-A Q8S-INPUT -p icmp -j RETURN
-A Q8S-INPUT -p udp --dport $dns -j RETURN
-A Q8S-INPUT -p tcp -m multiport --dports $dns,$api,$executables -j RETURN
-A Q8S-INPUT -j REJECT
COMMIT
RULES

# first TABLE CHAIN OURS: the chain jumps to ours before anything else, also where other programs have put rules before it.
first() {
	local former=""
	if iptables --wait -t "$1" -C "$2" -j "$3" 2>/dev/null; then former="-D $2 -j $3"; fi
	printf '*%s\n%s\n-I %s 1 -j %s\nCOMMIT\n' "$1" "$former" "$2" "$3" | iptables-restore --noflush --wait
}
first nat PREROUTING Q8S-PREROUTING
first nat POSTROUTING Q8S-POSTROUTING
first filter FORWARD Q8S-FORWARD
first filter INPUT Q8S-INPUT
