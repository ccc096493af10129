# shellcheck shell=bash
# The control plane's own pods, which kubelet runs from manifests; their processes are this host's own.

# process_of COMPONENT: the process of the component's container, if it runs. By the labels that kubelet gives its containers: other
# processes, and other pods' containers, on this host may have the component's name.
process_of() {
	local component=$1 filter own
	filter="labels.\"io.kubernetes.pod.namespace\"==\"kube-system\""
	filter+=",labels.\"io.kubernetes.pod.name\"==\"$component-${node:?}\""
	filter+=",labels.\"io.kubernetes.container.name\"==\"$component\""
	# Those that have ended, too, so the tasks tell which one runs.
	own=$(ctr --namespace k8s.io containers list --quiet "$filter")
	ctr --namespace k8s.io tasks list | while read -r container process status; do
		if [[ $status = RUNNING ]] && grep -qxF "$container" <<<"$own"; then echo "$process"; fi
	done
}

# restarted COMPONENT: it runs anew, and the API server answers; kubelet starts a container again that has ended. One that has ended
# already (an earlier attempt was cut off, or its certificate expired) starts by itself.
restarted() {
	local component=$1 former now left
	former=$(process_of "$component")
	progress "restarting $component"
	# Where it ends by itself meanwhile, that will do.
	xargs --no-run-if-empty kill <<<"$former" || true
	# kubelet waits for up to 300 s before it starts a container that has ended several times.
	for ((left = 360; left > 0; left--)); do
		now=$(process_of "$component")
		if [[ $now && $now != "$former" ]]; then break; fi
		sleep 1
	done
	((left > 0)) || fail "$component did not start again within 360 s: see crictl logs of its container"
	retry 7 kubectl get --raw /readyz >/dev/null || fail "the API server is not ready after $component was restarted"
}

# api_certificate CONFIGURATION: the API server's certificate has all names and addresses of kubeadm's configuration. One that came
# later is in none that kubeadm renews: it takes the names from the former one.
api_certificate() {
	local configuration=$1 pki=${kubernetes_pki:-/etc/kubernetes/pki} name kind said missing=()
	local -a names
	mapfile -t names < <(awk '/certSANs:/ { on = 1; next } $1 != "-" { on = 0 } on { print $2 }' "$configuration")
	for name in "${names[@]}"; do
		kind=-checkhost
		if [[ $name =~ ^[0-9.]+$ ]]; then kind=-checkip; fi
		said=$(openssl x509 -noout -in "$pki/apiserver.crt" "$kind" "$name" || true)
		[[ $said == *"does match"* ]] || missing+=("$name")
	done
	((${#missing[@]})) || return 0
	progress "a certificate for ${missing[*]}, too"
	# The former one stays until there is another.
	local new
	new=$(mktemp -d "${inbox:?}/certificates.XXXXXX")
	cp "$pki"/ca.{crt,key} "$new/"
	sed "s|^clusterName:|certificatesDir: $new\n&|" "$configuration" >"$new/kubeadm.yaml"
	kubeadm init phase certs apiserver --config "$new/kubeadm.yaml" ||
		fail "kubeadm makes no certificate for the API server: see $step_log"
	mv "$new/apiserver.key" "$new/apiserver.crt" "$pki/"
	rm -rf "$new"
	restarted kube-apiserver
}

# lasting SETTINGS CONFIGURATION: a patch of the ConfigMap that has the cluster's settings; certificates are valid for as long as
# kubeadm's configuration says.
lasting() {
	printf 'data:\n  ClusterConfiguration: |\n'
	{
		grep -v '^certificateValidityPeriod:' <<<"$1"
		grep '^certificateValidityPeriod:' "$2"
	} | sed 's/^/    /'
}

# audit_policy FILE: the API server goes by this audit policy; it reads the file only when it starts. A mark says that the file was
# replaced and the API server was not restarted yet, for an attempt that was cut off in between.
audit_policy() {
	local target=${kubernetes_audit:-/etc/kubernetes/audit}/policy.yaml
	if ! cmp -s "$1" "$target"; then
		touch "$target.changed"
		place "$1" "$target" 0600
	fi
	if [[ -e $target.changed ]]; then
		progress "another audit policy"
		restarted kube-apiserver
		rm -f "$target.changed"
	fi
}
