# shellcheck shell=bash
# etcd's members, and leaving them. Sourced by steps on a control plane; `first` names the control plane whose etcd is asked.

etcd() {
	local pki=/etc/kubernetes/pki/etcd
	kubectl -n kube-system exec "etcd-${first:?}" -- etcdctl --cacert "$pki/ca.crt" \
		--cert "$pki/healthcheck-client.crt" --key "$pki/healthcheck-client.key" "$@"
}

# leave_etcd: the node is no member any more; refused where those that stay would lose their quorum by it.
leave_etcd() {
	local members member client stay healthy
	members=$(etcd member list)
	IFS=, read -r member client < <(awk -F', ' -v name="${node:?}" '$3 == name { print $1 "," $5 }' <<<"$members") || true
	[[ ${member:-} ]] || return 0
	stay=$(($(wc -l <<<"$members") - 1))
	healthy=$(etcd endpoint health --cluster 2>&1 | grep 'is healthy' | grep -vcF "$client" || true)
	((2 * healthy > stay)) ||
		fail "etcd would lose its quorum: of the $stay members that stay, $healthy are healthy. Mend those first"
	etcd member remove "$member"
	progress "left etcd"
}
