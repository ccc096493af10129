# shellcheck shell=bash
# Registry mirrors, the same for a control plane's containerd, a payload's and a guest's.

# registry_hosts DIRECTORY: containerd's hosts directory, from inbox/registry/hosts.toml where the spec has a mirror.
registry_hosts() {
	mkdir -p "$1"
	[[ -s $inbox/registry/hosts.toml ]] || return 0
	install -D -m 0644 "$inbox/registry/hosts.toml" "$1/_default/hosts.toml"
}
