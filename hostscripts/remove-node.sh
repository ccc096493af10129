#!/usr/bin/env bash
# Drains a node and takes it out of the cluster. Arguments: grace=SECONDS
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
if ! kubectl get node "$node" >/dev/null 2>&1; then
	progress "is no node any more"
	exit 0
fi
progress "draining"
kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data --force --timeout="${grace:?}s" ||
	progress "not drained within $grace s: its remaining pods end with it"
kubectl delete node "$node" --wait=false
progress "removed from the cluster"
