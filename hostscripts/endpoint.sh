# shellcheck shell=bash
# Where the API's endpoint is, for this host. Sourced by steps and, on a host of its own, by the unit that joins.

# endpoint_at NAME ADDRESS: the name leads to this address, from now on and after a restart.
endpoint_at() {
	if [[ -d /etc/cloud/cloud.cfg.d ]]; then
		# Else cloud-init writes the file anew at every boot.
		echo 'manage_etc_hosts: false' >/etc/cloud/cloud.cfg.d/99-q8s-hosts.cfg
	fi
	local rest
	rest=$(grep -v "[[:space:]]$1\$" /etc/hosts || true)
	# Written in place: a container's hosts file may be a mount.
	printf '%s\n%s %s\n' "$rest" "$2" "$1" >/etc/hosts
}
