#!/usr/bin/env bash
# Drains a node and takes it out of the cluster; a control plane leaves etcd, too, while its vote still counts.
# Runs on the first control plane. Arguments: grace=SECONDS, first=NODE (that control plane)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/etcd.sh
. ./etcd.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
if ! kubectl get node "$node" >/dev/null 2>&1; then
	progress "is no node any more"
	exit 0
fi
progress "draining"
kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data --force --timeout="${grace:?}s" ||
	progress "not drained within $grace s: its remaining pods end with it"

if kubectl get node "$node" -o json | grep -q '"node-role.kubernetes.io/control-plane"'; then
	leave_etcd
	leave_cluster
else
	kubectl delete node "$node" --wait=false
fi
progress "removed from the cluster"
