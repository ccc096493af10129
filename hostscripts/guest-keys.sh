# shellcheck shell=bash
# The SSH keys that may log in to a guest that runs. Sourced by the step that awaits the node, on a control plane.
#
# cloud-init writes them when the guest is made. Which list the guest has got since is recorded in the ConfigMap q8s-keys-NODE of
# kube-system, behind the public half of the guest's token, which no other guest of this name has. The record does not go with the node
# object, which a user may delete while the guest lives; remove-node.sh removes it, and so does a restored snapshot, which is older than
# the guests (init-cluster.sh).

# keys_recorded TEXT: replace the record.
keys_recorded() {
	kubectl apply --server-side --force-conflicts -f - >/dev/null <<-RECORD
		apiVersion: v1
		kind: ConfigMap
		metadata:
		  name: q8s-keys-${node:?}
		  namespace: kube-system
		  labels: {q8s.io/record: keys}
		data:
		  keys: $1
	RECORD
}

# guest_keys GUEST USER WANTED JOINS SECONDS: the guest has the keys of the file WANTED for its user. A guest that joins now (JOINS is
# yes) has those that it was made with: its kubelet registers their digest as a label of the node (render/identity.py).
guest_keys() {
	local guest=$1 user=$2 wanted=$3 joins=$4 seconds=$5 digest former made_with
	local -a encoded
	digest=$(sha256sum <"$wanted" | cut -d' ' -f1)
	former=$(kubectl -n kube-system get configmap "q8s-keys-${node:?}" --ignore-not-found -o 'jsonpath={.data.keys}')
	[[ $former != "$guest $digest" ]] || return 0
	made_with=$(kubectl get node "$node" -o 'jsonpath={.metadata.labels.q8s\.io/ssh-keys}')
	if [[ ${former%% *} = "$guest" || $joins = no || $made_with != "${digest:0:40}" ]]; then
		progress "setting the guest's SSH keys"
		# Where this ends before the new list is recorded, the former one is not taken for what the guest has.
		keys_recorded "$guest unknown"
		mapfile -t encoded < <(base64 --wrap=60000 "$wanted")
		in_guest keys "$seconds" "the guest's SSH keys were not set" "$inbox/set-guest-keys.sh" "$user" "${encoded[@]}"
	fi
	keys_recorded "$guest $digest"
	[[ ! $made_with ]] || kubectl label -- node "$node" q8s.io/ssh-keys-
}
