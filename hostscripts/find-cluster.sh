#!/usr/bin/env bash
# Looks whether this control plane is in a cluster: the first one, where its host is new, comes back to that cluster and makes no
# other. Prints the hash of the cluster's CA, or nothing.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/ca.sh
. ./ca.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
if [[ ! -e /var/lib/q8s-joined ]]; then
	progress "$(hostname) is in no cluster yet"
	exit 0
fi
retry 6 kubectl get --raw /readyz >/dev/null ||
	fail "$(hostname) is in a cluster whose API does not answer: etcd has lost its majority. Bring one more control plane's host back"
progress "$(hostname) is in the cluster"
ca_hash >&3
