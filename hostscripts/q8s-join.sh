#!/usr/bin/env bash
# Makes this host one more control plane, in a unit that tries again until it is (q8s-join.service): its token is valid while
# somebody awaits the node. An attempt that was cut off is taken back by kubeadm itself, which takes its member out of etcd; one
# that had come to its end (the API server on this host answers) is left as it is. When it is in, its configuration goes.
# Environment: NODE, ADDRESS, ENDPOINT (the API's name), FIRST (address of the first control plane)
set -euo pipefail
# shellcheck source=hostscripts/endpoint.sh
. /usr/local/lib/q8s/endpoint.sh

: "${NODE:?}" "${ADDRESS:?}" "${ENDPOINT:?}" "${FIRST:?}"
ready() { curl -fsS --max-time 10 --cacert /etc/kubernetes/pki/ca.crt "https://$ADDRESS:6443/readyz" >/dev/null; }

if [[ ! -s /etc/kubernetes/admin.conf ]] || ! ready; then
	if [[ -e /etc/kubernetes/kubelet.conf ]]; then
		echo "an earlier attempt was cut off: taking it back"
		endpoint_at "$ENDPOINT" "$FIRST"
		kubeadm reset --force
	fi
	endpoint_at "$ENDPOINT" "$FIRST"
	kubeadm join --config /etc/kubernetes/q8s-join.yaml
fi
endpoint_at "$ENDPOINT" "$ADDRESS"
# What runs already has looked the name up before: kubelet, and kube-proxy in a pod that got its hosts file then.
systemctl restart kubelet.service
KUBECONFIG=/etc/kubernetes/admin.conf kubectl -n kube-system delete pods --wait=false \
	--selector k8s-app=kube-proxy --field-selector "spec.nodeName=$NODE"
rm -f /etc/kubernetes/q8s-join.yaml
echo "control plane joined"
