#!/usr/bin/env bash
# Waits for a node, gives it its labels and taints as soon as it exists, and waits until it is Ready. Meanwhile, and no
# longer, the cluster accepts the node's bootstrap token: so a join that is late, or is tried again, finds it valid.
# Arguments: timeout=SECONDS, role=worker (awaited until it is Ready) or control-plane (until its API server is), record=configmap (where
# the labels and taints of a worker are recorded; it runs this step again on clusters of releases that had them in annotations).
# For a worker also kubernetes=VERSION (upgraded to it where it runs another; prints which it runs), grace=SECONDS (for its pods to
# leave before), payload (where it gets another version from).
# For a control plane also instance (the id of its host), first=NODE (the control plane that this runs on), and where it may be that
# nothing joins, cluster (the hash of the cluster's CA, or nothing).
# inbox: labels, taints (a line each), token (the value), certificate-key (what a control plane's certificates are handed over by)
# For a worker also guest-keys (the SSH keys that may log in to its guest, a line each), guest-user (as whom).
# shellcheck disable=SC2034  # lib.sh's
log_of_node=yes
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/token.sh
. ./token.sh
# shellcheck source=hostscripts/etcd.sh
. ./etcd.sh
# shellcheck source=hostscripts/node-labels.sh
. ./node-labels.sh
# shellcheck source=hostscripts/in-guest.sh
. ./in-guest.sh
# shellcheck source=hostscripts/upgrade-worker.sh
. ./upgrade-worker.sh
# shellcheck source=hostscripts/guest-keys.sh
. ./guest-keys.sh

if [[ -v cluster && ! $cluster ]]; then
	progress "no cluster to come back to"
	exit 0
fi
export KUBECONFIG=/etc/kubernetes/admin.conf
# Nothing is half done when it is ended (run-step.sh): a node that is awaited otherwise, or is to go, need not wait for it.
touch "$inbox/../idle"
deadline=$((SECONDS + ${timeout:?}))
left() { echo "$((deadline > SECONDS ? deadline - SECONDS : 0))"; }

# joined SECONDS: wait that long for what shows that the node has joined; 0 looks once. A watch, which costs next to nothing.
case ${role:?} in
	worker)
		joined() { kubectl wait --for=create --timeout="$1s" "node/$node" >/dev/null 2>&1; }
		where="its console is /var/log/q8s/console.log on its host"
		;;
	control-plane)
		joined() {
			kubectl wait --for=create --timeout="$1s" "node/$node" >/dev/null 2>&1 &&
				kubectl -n kube-system wait --for=create --timeout="$1s" "pod/kube-apiserver-$node" >/dev/null 2>&1 &&
				kubectl -n kube-system wait --for=condition=Ready --timeout="$1s" "pod/kube-apiserver-$node" >/dev/null 2>&1
		}
		where="see journalctl -u q8s-join on it"
		;;
esac

# The host may just have been powered on.
retry 6 kubectl get --raw /readyz >/dev/null || fail "the API server is not ready"
if [[ $role = control-plane ]]; then
	former=$(kubectl get node "$node" --ignore-not-found -o 'jsonpath={.metadata.annotations.q8s\.io/instance}')
	if [[ $former && $former != "${instance:?}" ]]; then
		progress "its host is new: taking the lost one, $former, out of the cluster"
		leave_etcd
		leave_cluster
	fi
else
	# The public half of a guest's token tells it from any other that had its name. A former one is still a node where its run was
	# killed before the stack knew that it had joined.
	guest=$(cut -d. -f1 "$inbox/token")
	former=$(kubectl get node "$node" --ignore-not-found -o 'jsonpath={.metadata.annotations.q8s\.io/guest}')
	if [[ $former && $former != "$guest" ]]; then
		progress "is still a node of a former guest: taking that out of the cluster"
		kubectl delete node "$node"
	fi
fi
# A guest that joins now has the SSH keys that it was made with. Which keys the guest of a node that exists has, only the record says.
joins=no
if ! joined 0; then
	joins=yes
	[[ $role != control-plane ]] || retry 3 hand_over_certificates || fail "kubeadm cannot hand the certificates over: see $step_log"
	until
		retry 5 renew_token || fail "the API server does not accept the node's token: is it ready?"
		pause=$(left)
		joined "$((pause > token_seconds / 5 ? token_seconds / 5 : pause))"
	do
		(($(left) > 0)) || fail "did not join within $timeout s: $where"
		sleep 1
	done
fi
progress "joined; labels and taints"
# The last two are earlier releases' record of labels and taints: kubelet may write it, so it is not read.
case $role in
	worker) is="q8s.io/guest=$guest" ;;
	control-plane) is="q8s.io/instance=$instance" ;;
esac
kubectl annotate --overwrite -- node "$node" "$is" q8s.io/labels- q8s.io/taints-
labelled "$inbox/labels" "$inbox/taints"
if [[ $role = worker ]]; then
	kubectl wait --for=condition=Ready --timeout="$(left)s" "node/$node" ||
		fail "joined but not Ready within $timeout s: $(kubectl get node "$node" -o jsonpath='{.status.conditions[?(@.type=="Ready")].message}')"
	progress "Ready"
fi
revoke_token
if [[ $role = control-plane ]]; then
	withdraw_certificates
else
	# From here on something may be half done.
	rm -f "$inbox/../idle"
	upgrade_worker "${kubernetes:?}" "${payload:?}" "$timeout"
	guest_keys "$guest" "$(<"$inbox/guest-user")" "$inbox/guest-keys" "$joins" "$timeout"
	kubelet_version >&3
fi
