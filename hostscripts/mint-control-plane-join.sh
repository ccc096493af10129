#!/usr/bin/env bash
# What one more control plane needs to join: a token and the key of the certificates uploaded for it, as JSON.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
certificate_key=$(kubeadm certs certificate-key)
printf 'apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\ncertificateKey: %s\n' "$certificate_key" >"$inbox/upload.yaml"
kubeadm init phase upload-certs --upload-certs --config "$inbox/upload.yaml" >/dev/null
token=$(kubeadm token create --ttl "${ttl:?}" --description "q8s: ${node:?}")
printf '{"token": "%s", "certificateKey": "%s"}\n' "$token" "$certificate_key" >&3
