# shellcheck shell=bash
# etcd's members and its data, and leaving both etcd and the cluster. Sourced by steps on a control plane.

# etcd ARGUMENTS...: etcdctl in the etcd of the control plane that `first` names.
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

# leave_cluster: a control plane that is no member any more is no node either. What it ran as pods is gone with it at once: nobody
# is to take these for a new host's of the same name.
leave_cluster() {
	kubectl delete node "${node:?}" --ignore-not-found --wait=false
	kubectl -n kube-system delete pods --field-selector "spec.nodeName=$node" --force --grace-period=0
}

# etcd_tool IMAGE FOLDER COMMAND...: a command of etcd's image on this host, with the folder as /data and etcd's keys as /pki.
# By containerd itself: it is for where no API server is.
etcd_tool() {
	local image=$1 folder=$2
	shift 2
	ctr --namespace k8s.io run --rm --net-host \
		--mount "type=bind,src=/etc/kubernetes/pki/etcd,dst=/pki,options=rbind:ro" \
		--mount "type=bind,src=$folder,dst=/data,options=rbind:rw" "$image" "q8s-etcd-$$" "$@"
}

# etcd_restore IMAGE FOLDER: the member's data, of which there is none, from the folder's etcd.db, as the only member. The revision
# is raised, so that nobody who watched the lost cluster takes what he knows for newer ("Restoring with revision bump", etcd 3.6
# documentation).
etcd_restore() {
	local image=$1 folder=$2
	rm -rf "$folder/etcd"
	etcd_tool "$image" "$folder" etcdutl snapshot restore /data/etcd.db --data-dir /data/etcd --name "${node:?}" \
		--initial-cluster "$node=https://${address:?}:2380" --initial-advertise-peer-urls "https://$address:2380" \
		--bump-revision 1000000000 --mark-compacted
	mv "$folder/etcd" /var/lib/etcd
	chmod 0700 /var/lib/etcd
}
