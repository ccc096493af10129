# shellcheck shell=bash
# The SSH keys that may log in to a guest that runs. Sourced by the step that awaits the node, on a control plane.
#
# cloud-init writes them when the guest is made. Which list the guest has got since is recorded with its node's labels (node-labels.sh),
# behind the public half of its token: the record of a former node of this name may not be collected yet.

# guest_keys GUEST USER WANTED JOINS SECONDS: the guest has the keys of the file WANTED for its user. A guest that joins now (JOINS is
# yes) has those that it was made with: its kubelet registers their digest as a label of the node (render/identity.py).
guest_keys() {
	local guest=$1 user=$2 wanted=$3 joins=$4 seconds=$5 digest former made_with
	local -a encoded
	digest=$(sha256sum <"$wanted" | cut -d' ' -f1)
	former=$(kubectl -n kube-system get configmap "q8s-node-${node:?}" --ignore-not-found -o 'jsonpath={.data.keys}')
	[[ $former != "$guest $digest" ]] || return 0
	made_with=$(kubectl get node "$node" -o 'jsonpath={.metadata.labels.q8s\.io/ssh-keys}')
	if [[ ${former%% *} = "$guest" || $joins = no || $made_with != "${digest:0:40}" ]]; then
		progress "setting the guest's SSH keys"
		# Where this ends before the new list is recorded, the former one is not taken for what the guest has.
		recorded keys "$guest unknown"
		mapfile -t encoded < <(base64 --wrap=60000 "$wanted")
		in_guest keys "$seconds" "the guest's SSH keys were not set" "$inbox/set-guest-keys.sh" "$user" "${encoded[@]}"
	fi
	recorded keys "$guest $digest"
	[[ ! $made_with ]] || kubectl label -- node "$node" q8s.io/ssh-keys-
}
