# shellcheck shell=bash
# Registry mirrors, the same for a control plane's containerd, a payload's and a guest's; and a control plane's proxies.

q8s_etc=${q8s_etc:-/etc/q8s}
systemd_units=${systemd_units:-/etc/systemd/system}

# registry_hosts DIRECTORY: containerd's hosts directory, from inbox/registry/hosts.toml where the spec has a mirror.
registry_hosts() {
	mkdir -p "$1"
	[[ -s $inbox/registry/hosts.toml ]] || return 0
	install -D -m 0644 "$inbox/registry/hosts.toml" "$1/_default/hosts.toml"
}

# containerd_proxy: the proxies of the host's containerd, as the spec has them or has none; true when they changed. What it pulls
# for kubelet and kubeadm comes through them.
containerd_proxy() {
	local addition=$systemd_units/containerd.service.d/q8s-proxy.conf variables=$q8s_etc/proxy.env changed=no
	if [[ -s $inbox/proxy.env ]]; then
		if place "$inbox/proxy.env" "$variables" 0600; then changed=yes; fi
		if place "$inbox/q8s-proxy.conf" "$addition" 0644; then changed=yes; fi
	elif [[ -e $addition ]]; then
		rm -f "$addition" "$variables"
		changed=yes
	fi
	[[ $changed = yes ]]
}
