#!/usr/bin/env bash
# One more control plane: kubeadm join by a configuration file, once.
# That it is done says a mark that is written last. An attempt that was cut off is taken back by kubeadm itself, which takes
# its member out of etcd; one that had come to its end (the API server on this host answers) is left as it is.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
mark=/var/lib/q8s-joined
ready() { curl -fsS --max-time 10 --cacert /etc/kubernetes/pki/ca.crt "https://${address:?}:6443/readyz" >/dev/null; }
if [[ ! -e $mark && -s $KUBECONFIG ]] && retry 4 ready; then
	touch "$mark"
fi
if [[ ! -e $mark ]]; then
	install -D -m 0600 "$inbox/kubeadm.yaml" /etc/kubernetes/q8s-join.yaml
	install -D -m 0600 "$inbox/audit-policy.yaml" /etc/kubernetes/audit/policy.yaml
	install -d -m 0700 /var/log/kubernetes/audit
	if [[ -e /etc/kubernetes/kubelet.conf ]]; then
		progress "an earlier attempt was cut off: taking it back"
		kubeadm reset --force
	fi
	progress "kubeadm join as a control plane"
	kubeadm join --config /etc/kubernetes/q8s-join.yaml
	rm -f /etc/kubernetes/q8s-join.yaml
	touch "$mark"
fi
retry 6 ready || fail "the API server on this host is not ready"
progress "control plane joined"
