#!/usr/bin/env bash
# One more control plane: hands the host what it joins with, and starts the unit that does. Who awaits the node sees it done.
# Arguments: address, endpoint (the API's name), first (address of the first control plane)
# inbox: kubeadm.yaml (empty where there is nothing to join), audit-policy.yaml, admission.yaml
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/static-pods.sh
. ./static-pods.sh

if [[ ! -s $inbox/kubeadm.yaml ]]; then
	progress "no cluster to come back to"
	exit 0
fi
if [[ -e /var/lib/q8s-initialised ]] || [[ -e /var/lib/q8s-joined && ! -e /etc/kubernetes/q8s-join.yaml ]]; then
	export KUBECONFIG=/etc/kubernetes/admin.conf
	audit_policy "$inbox/audit-policy.yaml"
	progress "has joined already"
	exit 0
fi
install -D -m 0644 "$inbox/endpoint.sh" /usr/local/lib/q8s/endpoint.sh
install -D -m 0644 "$inbox/q8s-join.sh" /usr/local/lib/q8s/join.sh
install -D -m 0644 "$inbox/q8s-join.service" /etc/systemd/system/q8s-join.service
install -D -m 0600 "$inbox/audit-policy.yaml" /etc/kubernetes/audit/policy.yaml
install -D -m 0600 "$inbox/admission.yaml" /etc/kubernetes/admission/configuration.yaml
install -d -m 0700 /var/log/kubernetes/audit
install -d /etc/q8s
printf 'NODE=%s\nADDRESS=%s\nENDPOINT=%s\nFIRST=%s\n' "$node" "${address:?}" "${endpoint:?}" "${first:?}" >/etc/q8s/join.env
# Its presence is what the unit goes by.
install -m 0600 "$inbox/kubeadm.yaml" /etc/kubernetes/q8s-join.yaml
systemctl daemon-reload
systemctl enable --quiet q8s-join.service
systemctl start --no-block q8s-join.service
progress "joining as a control plane"
