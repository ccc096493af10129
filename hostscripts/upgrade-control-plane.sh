#!/usr/bin/env bash
# A control plane runs this version of Kubernetes; prints which. By kubeadm, whose every step may be done again: an attempt that was
# cut off is gone on with. The first control plane takes the cluster's own settings with it, so it goes before all others. Its
# pods stay: only what tolerates a control plane's taint is here, and that starts anew in its place.
# Arguments: kubernetes=VERSION
# inbox: kubeadm.yaml
# Source of the order: "Upgrading kubeadm clusters" of the Kubernetes documentation.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/apt.sh
. ./apt.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
version=v${kubernetes:?}
# What the cluster is, by its own word, and what runs here.
cluster_is() { kubectl -n kube-system get configmap kubeadm-config -o 'jsonpath={.data.ClusterConfiguration}' | awk '$1 == "kubernetesVersion:" { print $2 }'; }
manifest_is() { sed -n 's/^ *image: .*:\(v[^:@ ]*\)$/\1/p' /etc/kubernetes/manifests/kube-apiserver.yaml; }
node_is() { kubectl get node "$node" -o 'jsonpath={.status.nodeInfo.kubeletVersion}'; }
# older ONE OTHER: true where it is.
older() { [[ $1 != "$2" && $(printf '%s\n' "$1" "$2" | sort --version-sort | head -n 1) = "$1" ]]; }

retry 5 kubectl get --raw /readyz >/dev/null || fail "the API server is not ready"
cluster=$(cluster_is) here=$(manifest_is) kubelet=$(node_is)
for there in "$cluster" "$here" "$kubelet"; do
	if older "$version" "$there"; then fail "runs $there, and there is no way back to $version"; fi
	minor=${there#*.} wanted=${version#*.}
	((${wanted%%.*} - ${minor%%.*} <= 1)) || fail "runs $there: no minor version is passed over on the way to $version"
done

if [[ $cluster != "$version" || $here != "$version" || $kubelet != "$version" ]]; then apt_update; fi
if [[ $cluster != "$version" || $here != "$version" ]]; then
	progress "installing kubeadm $kubernetes"
	apt_install "kubeadm=$kubernetes-*"
	if [[ $cluster != "$version" ]]; then
		progress "kubeadm upgrade apply, from $cluster to $version"
		kubeadm upgrade apply --yes --config "$inbox/kubeadm.yaml"
	else
		progress "kubeadm upgrade node, from $here to $version"
		kubeadm upgrade node --config "$inbox/kubeadm.yaml"
	fi
	retry 6 kubectl get --raw /readyz >/dev/null || fail "the API server is not ready after its upgrade"
fi
if [[ $kubelet != "$version" ]]; then
	progress "kubelet, from $kubelet to $version"
	apt_install "kubelet=$kubernetes-*" "kubectl=$kubernetes-*" "kubeadm=$kubernetes-*"
	apt-mark hold kubelet kubeadm kubectl >/dev/null
	systemctl daemon-reload
	systemctl restart kubelet.service
	kubectl wait --for="jsonpath={.status.nodeInfo.kubeletVersion}=$version" --timeout=300s "node/$node" ||
		fail "kubelet does not come up as $version: see journalctl -u kubelet"
	kubectl wait --for=condition=Ready --timeout=300s "node/$node" || fail "not Ready after its upgrade"
fi
progress "runs Kubernetes $version"
node_is >&3
