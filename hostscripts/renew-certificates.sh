#!/usr/bin/env bash
# Renews this control plane's certificates, the administrator's kubeconfig among them, for kubeadm's usual year, and lets what
# uses them start anew, one after the other ("Certificate Management with kubeadm" of the Kubernetes documentation).
# Workers' kubelets renew theirs by themselves.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/static-pods.sh
. ./static-pods.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
[[ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]] || fail "$(hostname) is no control plane of a cluster yet"
progress "renewing certificates"
kubeadm certs renew all
for component in etcd kube-apiserver kube-controller-manager kube-scheduler; do restarted "$component"; done
progress "certificates renewed until $(openssl x509 -enddate -noout -in /etc/kubernetes/pki/apiserver.crt | cut -d= -f2)"
