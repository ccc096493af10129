# shellcheck shell=bash
# Who may log in to this host, beside the program itself, and for how long a connection is kept.

sshd_configuration=${sshd_configuration:-/etc/ssh/sshd_config.d}

# unused_connections: sshd ends those that have had nothing open for a minute. Pulumi's command plugin leaves one behind for each
# step until its run ends, and the first control plane has a step of every worker's. sshd can do it since OpenSSH 9.2.
unused_connections() {
	sshd -T -o UnusedConnectionTimeout=60 >/dev/null 2>&1 || return 0
	printf 'UnusedConnectionTimeout 60\n' >"$inbox/access/sshd.conf"
	if place "$inbox/access/sshd.conf" "$sshd_configuration/60-q8s.conf" 0644; then systemctl try-reload-or-restart ssh.service; fi
}

# user_keys: the keys of inbox/access/keys, no more and no fewer, for the user of inbox/access/user.
# They have a file of their own, which sshd reads, too (AuthorizedKeysFile, sshd_config(5)): the other is cloud-init's.
user_keys() {
	local user home group
	user=$(<"$inbox/access/user")
	home=$(getent passwd "$user" | cut -d: -f6)
	[[ $home ]] || fail "access.user: there is no user $user on this host"
	group=$(id -gn "$user")
	install -d -m 0700 -o "$user" -g "$group" "$home/.ssh"
	cmp -s "$inbox/access/keys" "$home/.ssh/authorized_keys2" ||
		install -m 0600 -o "$user" -g "$group" "$inbox/access/keys" "$home/.ssh/authorized_keys2"
}
