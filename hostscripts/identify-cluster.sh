#!/usr/bin/env bash
# Says which cluster this control plane is in, by its CA's hash, and tells the cluster which instance carries the node.
# Arguments: instance (its id)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/ca.sh
. ./ca.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
retry 6 kubectl annotate --overwrite node "$node" "q8s.io/instance=${instance:?}" >/dev/null ||
	fail "the API server does not take the node's annotation: is it ready?"
ca_hash >&3
