#!/usr/bin/env bash
# The first control plane: kubeadm init, once. Prints the admin kubeconfig and the CA's hash, as JSON.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

export KUBECONFIG=/etc/kubernetes/admin.conf

if [[ ! -s $KUBECONFIG ]] || ! kubectl get --raw /readyz >/dev/null; then
	install -D -m 0600 "$inbox/kubeadm.yaml" /etc/kubernetes/q8s-kubeadm.yaml
	install -D -m 0600 "$inbox/audit-policy.yaml" /etc/kubernetes/audit/policy.yaml
	install -d -m 0700 /var/log/kubernetes/audit
	# What an interrupted attempt left is of no use to the next one.
	if [[ -e /etc/kubernetes/manifests/kube-apiserver.yaml && ! -e /var/lib/q8s-initialised ]]; then kubeadm reset --force; fi
	progress "pulling the control plane's images"
	retry 3 kubeadm config images pull --config /etc/kubernetes/q8s-kubeadm.yaml ||
		fail "cannot pull the control plane's images: is the registry reachable from this host?"
	progress "kubeadm init"
	kubeadm init --skip-token-print --config /etc/kubernetes/q8s-kubeadm.yaml
	touch /var/lib/q8s-initialised
fi
retry 6 kubectl get --raw /readyz >/dev/null || fail "the API server is not ready"
progress "control plane ready"

ca_hash=$(openssl x509 -pubkey -noout -in /etc/kubernetes/pki/ca.crt |
	openssl pkey -pubin -outform der | openssl dgst -sha256 -r | cut -d' ' -f1)
python3 - "$KUBECONFIG" "sha256:$ca_hash" >&3 <<'PYTHON'
import json, sys
print(json.dumps({"kubeconfig": open(sys.argv[1]).read(), "caCertHash": sys.argv[2]}))
PYTHON
