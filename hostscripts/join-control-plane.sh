#!/usr/bin/env bash
# One more control plane: kubeadm join by a configuration file, once.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

if [[ ! -s /etc/kubernetes/admin.conf ]]; then
	install -D -m 0600 "$inbox/kubeadm.yaml" /etc/kubernetes/q8s-join.yaml
	install -D -m 0600 "$inbox/audit-policy.yaml" /etc/kubernetes/audit/policy.yaml
	install -d -m 0700 /var/log/kubernetes/audit
	if [[ -e /etc/kubernetes/kubelet.conf ]]; then kubeadm reset --force; fi
	progress "kubeadm join as a control plane"
	kubeadm join --config /etc/kubernetes/q8s-join.yaml
	rm -f /etc/kubernetes/q8s-join.yaml
fi
KUBECONFIG=/etc/kubernetes/admin.conf retry 6 kubectl get --raw /readyz >/dev/null || fail "the API server is not ready"
progress "control plane joined"
