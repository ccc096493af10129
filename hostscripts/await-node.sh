#!/usr/bin/env bash
# Waits for a node, gives it its labels and taints as soon as it exists, and waits until it is Ready. Meanwhile, and no
# longer, the cluster accepts the node's bootstrap token: so a join that is late, or is tried again, finds it valid.
# Arguments: timeout=SECONDS, ready=no to wait for nothing more than the node
# inbox: labels, taints (a line each), token (the value, for a node that joins by one that is renewed)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/token.sh
. ./token.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
# Nothing is half done when it is ended (run-step.sh): a node that is awaited otherwise, or is to go, need not wait for it.
touch "$inbox/../idle"
deadline=$((SECONDS + ${timeout:?})) renew_at=0
late() { ((SECONDS > deadline)); }

until kubectl get node "$node" >/dev/null 2>&1; do
	! late || fail "the guest did not join within $timeout s: its console is /var/log/q8s/console.log on its host"
	if [[ -s $inbox/token ]] && ((SECONDS >= renew_at)); then
		retry 5 renew_token || fail "the API server does not accept the node's token: is it ready?"
		renew_at=$((SECONDS + token_seconds / 5))
	fi
	sleep 2
done
progress "joined; labels and taints"
mapfile -t labels <"$inbox/labels"
mapfile -t taints <"$inbox/taints"
# What was set here before and is asked for no more: names of labels, and name:effect of taints.
for kind in label taint; do
	annotation=q8s.io/${kind}s
	if [[ $kind = label ]]; then now=("${labels[@]%%=*}"); else now=("${taints[@]/=*:/:}"); fi
	former=$(kubectl get node "$node" -o "go-template={{with index .metadata.annotations \"$annotation\"}}{{.}}{{end}}")
	for name in $former; do
		[[ " ${now[*]} " = *" $name "* ]] || kubectl "$kind" node "$node" "$name-"
	done
	kubectl annotate --overwrite node "$node" "$annotation=${now[*]}"
done
((${#labels[@]} == 0)) || kubectl label --overwrite node "$node" "${labels[@]}"
((${#taints[@]} == 0)) || kubectl taint --overwrite node "$node" "${taints[@]}"
if [[ ${ready:-yes} = yes ]]; then
	kubectl wait --for=condition=Ready --timeout="$((deadline > SECONDS ? deadline - SECONDS : 1))s" "node/$node" ||
		fail "joined but not Ready within $timeout s: $(kubectl get node "$node" -o jsonpath='{.status.conditions[?(@.type=="Ready")].message}')"
	progress "Ready"
fi
[[ ! -s $inbox/token ]] || revoke_token
