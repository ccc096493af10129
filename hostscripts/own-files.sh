# shellcheck shell=bash
# What of a host is its own, its stack's or its users', and never goes on an image. What stays on one, docs/operators.md lists.

# Patterns of paths, without the first slash.
own_patterns=(
	# This program's. apt's proxy may have a password.
	etc/q8s var/lib/q8s "home/*/.q8s" root/.q8s etc/apt/apt.conf.d/80q8s-proxy
	# Who may log in, and what tells hosts apart: cloud-init gives each its own.
	"home/*/.ssh/authorized_keys*" "root/.ssh/authorized_keys*" "home/*/.ssh/known_hosts*" "root/.ssh/known_hosts*"
	"etc/ssh/ssh_host_*" var/lib/dbus/machine-id var/lib/systemd/random-seed var/lib/systemd/credential.secret
	# User data and what was done with them.
	var/lib/cloud/instance "var/lib/cloud/instances/*" "var/lib/cloud/data/*" "var/lib/cloud/seed/*"
	# What users typed, and what crashed.
	"home/*/.*_history" "root/.*_history" "home/*/.lesshst" root/.lesshst "home/*/.viminfo" root/.viminfo
	"var/crash/*" "var/lib/systemd/coredump/*"
)

# own_files ROOT: those that are there, one a line.
own_files() {
	local root=$1 pattern
	for pattern in "${own_patterns[@]}"; do compgen -G "$root/$pattern" || true; done
	find "$root/var/log" -type f
	own_sources "$root"
}

# own_sources ROOT: package sources with a password in an address. All others stay, so that new hosts need no package lists.
own_sources() {
	local folder=$1/etc/apt
	grep -rlE '://[^/[:space:]]*@' "$folder/sources.list" "$folder/sources.list.d" "$folder/q8s.sources.d" 2>/dev/null || true
}

# remove_own_files ROOT: fails where one of them is still there at the end.
remove_own_files() {
	local root=$1 found
	if [[ $(own_sources "$root") ]]; then rm -f "$root/var/lib/apt/q8s-updated"; fi
	found=$(own_files "$root")
	printf 'removed from the image:\n%s\n' "$found"
	while read -r each; do [[ ! $each ]] || rm -rf "$each"; done <<<"$found"
	found=$(own_files "$root")
	[[ ! $found ]] || fail "not removed from the image: ${found//$'\n'/, }"
}
