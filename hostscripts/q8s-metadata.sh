#!/usr/bin/env bash
# Refuses pods on this control plane the cloud's metadata: this host's user data has its private SSH key. The host itself reaches it, as
# cloud-init needs it at each boot, and so do pods of the host's network (hostNetwork): who may create those is as good as root here.
# IPv6 needs no rules: nothing forwards it, and the metadata service's IPv6 address is link-local.
# An own chain, filled in one transaction. Only rules that accept can take it away from its place: kube-proxy's are for Services, whose
# endpoints cannot be link-local addresses, and Flannel appends its own.
set -euo pipefail

former=""
if iptables --wait -C FORWARD -j Q8S-METADATA 2>/dev/null; then former="-D FORWARD -j Q8S-METADATA"; fi
iptables-restore --noflush --wait <<RULES
*filter
:Q8S-METADATA - [0:0]
-A Q8S-METADATA -d 169.254.0.0/16 -j REJECT
$former
-I FORWARD 1 -j Q8S-METADATA
COMMIT
RULES
