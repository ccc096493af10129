# shellcheck shell=bash
# A worker's Kubernetes in another version, without an emulated boot: its host hands kubelet and kubeadm over, and a pod on it puts
# them in place (in-guest.sh). Sourced by the step that awaits the node, on a control plane.

kubelet_version() { kubectl get node "${node:?}" -o 'jsonpath={.status.nodeInfo.kubeletVersion}'; }

# upgrade_worker VERSION PAYLOAD SECONDS: the node runs this version; PAYLOAD is its host's end of the link (ADDRESS/PORT). Its pods
# stay for a patch release, which changes nothing for them; with another minor version they leave first, but for those that nobody
# would make again.
upgrade_worker() {
	local version=v$1 payload=$2 seconds=$3 was
	was=$(kubelet_version)
	if [[ $was != "$version" ]]; then
		progress "upgrading Kubernetes from $was to $version"
		[[ ${was%.*} = "${version%.*}" ]] || drained
		in_guest upgrade "$seconds" "was not upgraded" "$inbox/upgrade-guest.sh" "$version" "$payload"
		kubectl wait --for="jsonpath={.status.nodeInfo.kubeletVersion}=$version" --timeout="${seconds}s" "node/$node" ||
			fail "kubelet does not come up as $version: see journalctl -u kubelet in the guest"
		kubectl wait --for=condition=Ready --timeout="${seconds}s" "node/$node" || fail "not Ready after its upgrade"
		progress "runs Kubernetes $version"
	fi
	# Whoever else has cordoned the node has left no such note.
	if [[ $(kubectl get node "$node" -o 'jsonpath={.metadata.annotations.q8s\.io/drained}') ]]; then
		kubectl uncordon "$node"
		kubectl annotate node "$node" q8s.io/drained-
	fi
}

# drained: the node's pods are elsewhere, and it takes no others. Not before kube-proxy is everywhere what the control planes' upgrade
# has made it: where it is just being replaced, nobody learns that a pod has gone, and sends requests on to it.
drained() {
	kubectl -n kube-system rollout status daemonset/kube-proxy --timeout="${grace:?}s" ||
		progress "kube-proxy is not up to date on every node after $grace s: requests from those may find a pod gone. See $step_log"
	if [[ $(kubectl get node "$node" -o 'jsonpath={.spec.unschedulable}') != true ]]; then
		kubectl annotate --overwrite node "$node" q8s.io/drained=upgrade
	fi
	progress "draining"
	kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data --timeout="${grace}s" ||
		progress "not drained within $grace s: its remaining pods stay through the upgrade. See $step_log"
}
