#!/usr/bin/env bash
# Makes this host one more control plane, in a unit that tries again until it is (q8s-join.service): its token is valid while
# somebody awaits the node. That it has joined says a mark, and what has is never reset. An attempt that was cut off is taken back
# by kubeadm itself, which takes its member out of etcd; one that had come to its end (the API server on this host answers) is
# left as it is. When all is done, the configuration goes.
# Environment: NODE, ADDRESS, ENDPOINT (the API's name), FIRST (address of the first control plane)
set -euo pipefail
# shellcheck source=hostscripts/endpoint.sh
. /usr/local/lib/q8s/endpoint.sh

: "${NODE:?}" "${ADDRESS:?}" "${ENDPOINT:?}" "${FIRST:?}"
ready() {
	curl -fsS --max-time 10 --retry 6 --retry-delay 5 --retry-all-errors \
		--cacert /etc/kubernetes/pki/ca.crt "https://$ADDRESS:6443/readyz" >/dev/null
}

mark=/var/lib/q8s-joined
if [[ ! -e $mark && -s /etc/kubernetes/admin.conf ]] && ready; then
	touch "$mark"
fi
if [[ ! -e $mark ]]; then
	endpoint_at "$ENDPOINT" "$FIRST"
	if [[ -e /etc/kubernetes/kubelet.conf ]]; then
		echo "an earlier attempt was cut off: taking it back"
		kubeadm reset --force
	fi
	kubeadm join --config /etc/kubernetes/q8s-join.yaml
	touch "$mark"
fi
endpoint_at "$ENDPOINT" "$ADDRESS"
# What runs already has looked the name up before: kubelet, and kube-proxy in a pod that got its hosts file then.
systemctl restart kubelet.service
KUBECONFIG=/etc/kubernetes/admin.conf kubectl -n kube-system delete pods --wait=false \
	--selector k8s-app=kube-proxy --field-selector "spec.nodeName=$NODE"
rm -f /etc/kubernetes/q8s-join.yaml
echo "control plane joined"
