#!/usr/bin/env bash
# The first control plane: kubeadm init, once; never where it has come back to the cluster (find-cluster.sh). Prints the admin
# kubeconfig, in JSON.
# Arguments: address, endpoint (the API's name)
# Where a snapshot was laid (lay-snapshot.sh), the cluster is the snapshot's, with its keys and its data.
# That it is done says a mark that is written last. An attempt that was cut off is gone on with and never reset: etcd may
# have data already, and kubeadm takes the certificates and manifests that it finds.
# inbox: kubeadm.yaml, audit-policy.yaml, admission.yaml, fixed (a line for each field that a cluster keeps: its path and its value)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/endpoint.sh
. ./endpoint.sh
# shellcheck source=hostscripts/etcd.sh
. ./etcd.sh
# shellcheck source=hostscripts/static-pods.sh
. ./static-pods.sh

export KUBECONFIG=/etc/kubernetes/admin.conf

mark=/var/lib/q8s-initialised fixed=/etc/kubernetes/q8s-fixed snapshot=/var/lib/q8s-restore
if [[ -e $snapshot/fixed && ! -e $fixed ]]; then install -D -m 0644 "$snapshot/fixed" "$fixed"; fi
if [[ -e $fixed ]]; then
	while read -r field value; do
		was=$(awk -v field="$field" '$1 == field { print $2 }' "$fixed")
		[[ ! $was || $was = "$value" ]] ||
			fail "$field: the cluster was made with $was and keeps it, $value needs another cluster. Nothing was changed in it"
	done <"$inbox/fixed"
fi
# A control plane finds the API on itself.
endpoint_at "${endpoint:?}" "${address:?}"
sed -i "s/@KUBERNETES@/$(kubeadm version -o short)/" "$inbox/kubeadm.yaml"
# How long certificates are valid, which the host's own step brings: it may change, and this step is not done again for it.
certificates=/etc/kubernetes/q8s-certificates.yaml
if [[ -e $certificates ]]; then sed -i "/^clusterName:/r $certificates" "$inbox/kubeadm.yaml"; fi
if [[ ! -e $mark && ! -e /var/lib/q8s-joined ]]; then
	install -D -m 0600 "$inbox/kubeadm.yaml" /etc/kubernetes/q8s-kubeadm.yaml
	install -D -m 0600 "$inbox/audit-policy.yaml" /etc/kubernetes/audit/policy.yaml
	install -D -m 0600 "$inbox/admission.yaml" /etc/kubernetes/admission/configuration.yaml
	install -d -m 0700 /var/log/kubernetes/audit
	progress "pulling the control plane's images"
	retry 3 kubeadm config images pull --config /etc/kubernetes/q8s-kubeadm.yaml ||
		fail "cannot pull the control plane's images: is the registry reachable from this host?"
	progress "kubeadm init"
	left=()
	if [[ -e /etc/kubernetes/manifests/etcd.yaml ]]; then
		progress "an earlier attempt was cut off: going on with it"
		left=(--ignore-preflight-errors=all)
	elif [[ -e $snapshot ]]; then
		progress "from the snapshot that was laid here"
		# kubeadm looks at the host before there is anything that it takes for the remains of a cluster.
		rm -rf /var/lib/etcd
		kubeadm init phase preflight --config /etc/kubernetes/q8s-kubeadm.yaml
		install -d /etc/kubernetes/pki
		cp -rp "$snapshot/pki/." /etc/kubernetes/pki/
		etcd_restore "$(kubeadm config images list --config /etc/kubernetes/q8s-kubeadm.yaml | grep '/etcd:')" "$snapshot"
		left=(--skip-phases=preflight)
	fi
	kubeadm init --skip-token-print "${left[@]}" --config /etc/kubernetes/q8s-kubeadm.yaml
	retry 6 kubectl get --raw /readyz >/dev/null || fail "the API server is not ready after kubeadm init"
	# Guests may have got other SSH keys since the snapshot was taken.
	[[ ! -e $snapshot ]] || kubectl -n kube-system delete configmaps --selector q8s.io/record=keys
	rm -rf "$snapshot"
	touch "$mark"
fi
place "$inbox/fixed" "$fixed" 0644 || true
audit_policy "$inbox/audit-policy.yaml"
api_certificate "$inbox/kubeadm.yaml"
retry 6 kubectl get --raw /readyz >/dev/null || fail "the API server is not ready"
progress "control plane ready"

python3 - "$KUBECONFIG" >&3 <<'PYTHON'
import json, sys
print(json.dumps({"kubeconfig": open(sys.argv[1]).read()}))
PYTHON
