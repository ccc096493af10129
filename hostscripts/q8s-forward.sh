#!/usr/bin/env bash
# Forwards what reaches this host to its guest: everything but SSH (22), and 2222 to the guest's 22.
# Own chains, filled in one transaction, so that a second run changes nothing that a first one made.
# Source of the scheme: section 3.1 (Networking) of the Q8S paper.
set -euo pipefail
: "${NIC:?}" "${NODE_ADDRESS:?}" "${GUEST_ADDRESS:?}"

sysctl -q -w net.ipv4.ip_forward=1

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
-A Q8S-FORWARD -d $GUEST_ADDRESS -j ACCEPT
-A Q8S-FORWARD -s $GUEST_ADDRESS -j ACCEPT
COMMIT
RULES

jump() { iptables --wait -t "$1" -C "$2" -j "$3" 2>/dev/null || iptables --wait -t "$1" -I "$2" 1 -j "$3"; }
jump nat PREROUTING Q8S-PREROUTING
jump nat POSTROUTING Q8S-POSTROUTING
jump filter FORWARD Q8S-FORWARD
