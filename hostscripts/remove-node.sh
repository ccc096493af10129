#!/usr/bin/env bash
# Drains a node and takes it out of the cluster; a control plane leaves etcd, too, while its vote still counts.
# Runs on the first control plane. Arguments: grace=SECONDS, first=NODE (that control plane)
# shellcheck disable=SC2034  # lib.sh's
log_of_node=yes
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/etcd.sh
. ./etcd.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
[[ -e $KUBECONFIG ]] || {
	progress "no cluster here that it is a node of"
	exit 0
}
# An API server that does not answer has not said that the node is gone.
found=$(retry 5 kubectl --request-timeout=20s get node "$node" --ignore-not-found -o json) ||
	fail "the API server does not say whether it is a node still: is it ready?"
kubectl -n kube-system delete configmap "q8s-keys-$node" --ignore-not-found || true
[[ $found ]] || {
	# etcd is asked all the same: a node that was deleted by hand has left its member behind.
	leave_etcd
	progress "is no node any more"
	exit 0
}
progress "draining"
kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data --force --timeout="${grace:?}s" ||
	progress "not drained within $grace s: its remaining pods end with it"

if grep -q '"node-role.kubernetes.io/control-plane"' <<<"$found"; then
	leave_etcd
	leave_cluster
else
	kubectl delete node "$node" --wait=false
fi
progress "removed from the cluster"
