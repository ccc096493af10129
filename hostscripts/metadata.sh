# shellcheck shell=bash
# What keeps pods of a control plane away from the cloud's metadata.

# no_metadata_for_pods: the service that owns the rules, and its rules, in the first place now.
no_metadata_for_pods() {
	place "${inbox:?}/q8s-metadata.sh" /usr/local/sbin/q8s-metadata 0755 || true
	place "$inbox/q8s-metadata.service" /etc/systemd/system/q8s-metadata.service 0644 || true
	systemctl daemon-reload
	systemctl enable -q q8s-metadata.service
	systemctl restart q8s-metadata.service
	iptables --wait -C FORWARD -j Q8S-METADATA || fail "pods are not kept from the cloud's metadata: see journalctl -u q8s-metadata"
}
