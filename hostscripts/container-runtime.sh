# shellcheck shell=bash
# Registry mirrors, the same for a control plane's containerd, a payload's and a guest's; and a control plane's proxies.

q8s_etc=${q8s_etc:-/etc/q8s}
systemd_units=${systemd_units:-/etc/systemd/system}

# registry_hosts DIRECTORY: containerd's hosts directory, from inbox/registry: hosts.toml where the spec has a mirror of all
# registries, and a folder for each that has something of its own, maybe a password. What is laid here is marked, and goes again.
registry_hosts() {
	local given=$inbox/registry folder name
	mkdir -p "$1"
	if [[ -s $given/hosts.toml ]]; then install -D "$given/hosts.toml" "$given/_default/hosts.toml"; fi
	for folder in "$1"/*/; do
		name=$(basename "$folder")
		if [[ -e $folder/q8s && ! -d $given/$name ]]; then rm -r "$folder"; fi
	done
	for folder in "$given"/*/; do
		[[ -d $folder ]] || continue
		name=$(basename "$folder")
		mkdir -p "$1/$name"
		touch "$1/$name/q8s"
		# The authorities before what names them.
		if [[ -s $folder/ca.crt ]]; then install -m 0600 "$folder/ca.crt" "$1/$name/ca.crt"; fi
		install -m 0600 "$folder/hosts.toml" "$1/$name/hosts.toml"
	done
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
