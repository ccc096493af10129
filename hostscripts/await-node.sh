#!/usr/bin/env bash
# Waits for a node, gives it its labels and taints as soon as it exists, and waits until it is Ready.
# Arguments: timeout=SECONDS, ready=no to wait for nothing more than the node; inbox: labels, taints (a line each)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
deadline=$((SECONDS + ${timeout:?}))
late() { ((SECONDS > deadline)); }

until kubectl get node "$node" >/dev/null 2>&1; do
	! late || fail "the guest did not join within $timeout s: its console is /var/log/q8s/console.log on its host"
	sleep 2
done
progress "joined; labels and taints"
mapfile -t labels <"$inbox/labels"
mapfile -t taints <"$inbox/taints"
((${#labels[@]} == 0)) || kubectl label --overwrite node "$node" "${labels[@]}"
((${#taints[@]} == 0)) || kubectl taint --overwrite node "$node" "${taints[@]}"
[[ ${ready:-yes} = yes ]] || exit 0
kubectl wait --for=condition=Ready --timeout="$((deadline > SECONDS ? deadline - SECONDS : 1))s" "node/$node" ||
	fail "joined but not Ready within $timeout s: $(kubectl get node "$node" -o jsonpath='{.status.conditions[?(@.type=="Ready")].message}')"
progress "Ready"
