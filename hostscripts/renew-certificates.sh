#!/usr/bin/env bash
# Renews this control plane's certificates, the administrator's kubeconfig among them, and lets what uses them start anew, one after
# the other ("Certificate Management with kubeadm" of the Kubernetes documentation). Workers' kubelets renew theirs by themselves.
# inbox: kubeadm.yaml (for how long)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/static-pods.sh
. ./static-pods.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
[[ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]] || fail "$(hostname) is no control plane of a cluster yet"
progress "renewing certificates"
# Not by the cluster's own settings: where certificates have expired, nobody reads them.
sed -i "s/@KUBERNETES@/$(kubeadm version -o short)/" "$inbox/kubeadm.yaml"
kubeadm certs renew all --config "$inbox/kubeadm.yaml"
for component in etcd kube-apiserver kube-controller-manager kube-scheduler; do restarted "$component"; done
# Upgrades renew by the cluster's settings, and control planes that join begin with them.
settings=$(kubectl -n kube-system get configmap kubeadm-config -o 'jsonpath={.data.ClusterConfiguration}')
lasting "$settings" "$inbox/kubeadm.yaml" >"$inbox/patch.yaml"
kubectl -n kube-system patch configmap kubeadm-config --patch-file "$inbox/patch.yaml"
# The administrator's kubeconfig is another one: what init-cluster.sh printed for a run that was cut off is old (run-step.sh).
touch --no-create --date=@0 /run/q8s/*-init/outcome
progress "certificates renewed until $(openssl x509 -enddate -noout -in /etc/kubernetes/pki/apiserver.crt | cut -d= -f2)"
