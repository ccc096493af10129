#!/usr/bin/env bash
# A bootstrap token for one worker, printed. Arguments: ttl=DURATION
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
token=$(retry 5 kubeadm token create --ttl "${ttl:?}" --description "q8s: ${node:?}")
printf '%s\n' "$token" >&3
