#!/usr/bin/env bash
# Drains a node and takes it out of the cluster; a control plane leaves etcd, too, while its vote still counts.
# Runs on the first control plane. Arguments: grace=SECONDS, first=NODE (that control plane)
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

etcd() {
	local pki=/etc/kubernetes/pki/etcd
	kubectl -n kube-system exec "etcd-${first:?}" -- etcdctl --cacert "$pki/ca.crt" \
		--cert "$pki/healthcheck-client.crt" --key "$pki/healthcheck-client.key" "$@"
}
if kubectl get node "$node" -o json | grep -q '"node-role.kubernetes.io/control-plane"'; then
	members=$(etcd member list)
	IFS=, read -r member client < <(awk -F', ' -v name="$node" '$3 == name { print $1 "," $5 }' <<<"$members") || true
	if [[ ${member:-} ]]; then
		stay=$(($(wc -l <<<"$members") - 1))
		healthy=$(etcd endpoint health --cluster 2>&1 | grep 'is healthy' | grep -vcF "$client" || true)
		((2 * healthy > stay)) ||
			fail "etcd would lose its quorum: of the $stay members that stay, $healthy are healthy. Mend those first"
		etcd member remove "$member"
		progress "left etcd"
	fi
fi
kubectl delete node "$node" --wait=false
progress "removed from the cluster"
