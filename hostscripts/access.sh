# shellcheck shell=bash
# Who may log in to this host, beside the program itself.

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
