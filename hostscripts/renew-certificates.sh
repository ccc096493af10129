#!/usr/bin/env bash
# Renews this control plane's certificates, the administrator's kubeconfig among them, for kubeadm's usual year, and lets what
# uses them start anew, one after the other ("Certificate Management with kubeadm" of the Kubernetes documentation).
# Workers' kubelets renew theirs by themselves.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
[[ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]] || fail "$(hostname) is no control plane of a cluster yet"
progress "renewing certificates"
kubeadm certs renew all
# Those of the control plane's pods that are this host's own processes; kubelet starts a container again that has ended.
for component in etcd kube-apiserver kube-controller-manager kube-scheduler; do
	former=$(pgrep -x "${component:0:15}") || fail "$component does not run: mend it first. The renewed certificates are there"
	progress "restarting $component"
	kill "$former"
	for ((left = 180; left > 0; left--)); do
		now=$(pgrep -x "${component:0:15}" || true)
		if [[ $now && $now != "$former" ]]; then break; fi
		sleep 1
	done
	((left > 0)) || fail "$component did not start again within 180 s: see crictl logs of its container"
	retry 7 kubectl get --raw /readyz >/dev/null || fail "the API server is not ready after $component was restarted"
done
progress "certificates renewed until $(openssl x509 -enddate -noout -in /etc/kubernetes/pki/apiserver.crt | cut -d= -f2)"
