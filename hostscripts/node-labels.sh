# shellcheck shell=bash
# A node's labels and taints. Sourced by the step that awaits the node, on a control plane.
#
# Which of them were set here is recorded in a ConfigMap of kube-system, q8s-node-NODE, which goes with the node. kubelet may write its
# node's annotations, but no ConfigMap: a record in an annotation would let it choose what the administrator removes.

# well_formed KIND NAME: a name that a spec allows: a label's key, or a taint's key:effect.
well_formed() {
	local key='([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?'
	case $1 in
		label) [[ $2 =~ ^$key$ ]] ;;
		taint) [[ $2 =~ ^$key:(NoSchedule|PreferNoSchedule|NoExecute)$ ]] ;;
		*) false ;;
	esac
}

# names_of LABELS TAINTS: what a record has of these files, a line each: the kind and the name.
names_of() {
	sed 's/=.*//; s/^/label /' "$1"
	sed 's/=.*:/:/; s/^/taint /' "$2"
}

# recorded NAMES: replace the node's record.
recorded() {
	local uid
	uid=$(kubectl get node "${node:?}" -o 'jsonpath={.metadata.uid}')
	{
		cat <<-RECORD
			apiVersion: v1
			kind: ConfigMap
			metadata:
			  name: q8s-node-$node
			  namespace: kube-system
			  ownerReferences: [{apiVersion: v1, kind: Node, name: $node, uid: $uid}]
			data:
			  set: |
		RECORD
		printf '%s\n' "$1" | sed 's/^/    /'
	} | kubectl apply --server-side --force-conflicts -f - >/dev/null
}

# labelled LABELS TAINTS: the node has what these files list (KEY=VALUE, KEY[=VALUE]:EFFECT, a line each), and nothing any more that
# was set here before and is not listed. All other labels and taints stay.
labelled() {
	local former now present kind name
	local -a labels taints gone_labels=() gone_taints=()
	mapfile -t labels <"$1"
	mapfile -t taints <"$2"
	now=$(names_of "$1" "$2")
	former=$(kubectl -n kube-system get configmap "q8s-node-${node:?}" --ignore-not-found -o 'jsonpath={.data.set}')
	# kubectl refuses to remove a taint that the node does not have.
	present=$(kubectl get node "$node" -o 'jsonpath={range .spec.taints[*]}{.key}:{.effect}{"\n"}{end}')
	while read -r kind name; do
		if grep -qFx -e "$kind $name" <<<"$now"; then continue; fi
		if ! well_formed "$kind" "$name"; then
			printf 'ignoring a line of the record that is not well-formed: %q %q\n' "$kind" "$name"
		elif [[ $kind = label ]]; then
			gone_labels+=("$name-")
		elif grep -qFx -e "$name" <<<"$present"; then
			gone_taints+=("$name-")
		fi
	done < <([[ ! $former ]] || printf '%s\n' "$former")
	((${#gone_labels[@]} == 0)) || kubectl label -- node "$node" "${gone_labels[@]}"
	((${#gone_taints[@]} == 0)) || kubectl taint -- node "$node" "${gone_taints[@]}"
	[[ ! $former && ! $now ]] || recorded "$now"
	((${#labels[@]} == 0)) || kubectl label --overwrite -- node "$node" "${labels[@]}"
	((${#taints[@]} == 0)) || kubectl taint --overwrite -- node "$node" "${taints[@]}"
}
