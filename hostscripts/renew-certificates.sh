#!/usr/bin/env bash
# Renews this control plane's certificates, the administrator's kubeconfig among them. Workers' kubelets renew theirs by themselves.
# Argument: when=due, from q8s-renew.timer: only where they are due, and for as long as the cluster's settings say
# inbox: kubeadm.yaml (for how long; not when=due)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/static-pods.sh
. ./static-pods.sh
# shellcheck source=hostscripts/certificates.sh
. ./certificates.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
# The timer and a request: one after the other.
exec 9>/run/q8s-renew.lock
flock 9
if [[ ${when:-now} = due ]]; then
	# Before the cluster is made, and after it was renewed, there is nothing to do.
	if [[ $(due_certificates) ]]; then renewed; fi
	exit 0
fi
[[ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]] || fail "$(hostname) is no control plane of a cluster yet"
# Not by the cluster's own settings: where certificates have expired, nobody reads them.
sed -i "s/@KUBERNETES@/$(kubeadm version -o short)/" "$inbox/kubeadm.yaml"
renewed --config "$inbox/kubeadm.yaml"
# Upgrades renew by the cluster's settings, and so do control planes' timers; control planes that join begin with them.
settings=$(kubectl -n kube-system get configmap kubeadm-config -o 'jsonpath={.data.ClusterConfiguration}')
lasting "$settings" "$inbox/kubeadm.yaml" >"$inbox/patch.yaml"
kubectl -n kube-system patch configmap kubeadm-config --patch-file "$inbox/patch.yaml"
