#!/usr/bin/env bash
# In a guest: the SSH keys that may log in as its user, no more and no fewer. Those in ~/.ssh/authorized_keys2 are not touched.
# Arguments: USER, and the keys, a line each: base64, in one word or several
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
user=$1
shift

wanted=$(printf '%s' "$@" | base64 -d)
[[ $wanted ]] || {
	echo "there are no keys to set"
	exit 1
}

# account NAME: its home, user id and group id.
account() {
	local entry
	entry=$(getent passwd "$1") || {
		echo "there is no user $1 in the guest"
		exit 1
	}
	IFS=: read -r _ _ uid gid _ home _ <<<"$entry"
}

# key_of LINE: a line's key, without the options before it and the comment behind it (authorized_keys in sshd(8)); nothing where
# it has none.
key_of() {
	local option='([^[:space:]"]|"([^"\\]|\\.)*")+' type='(sk-)?(ssh|ecdsa)-[-a-z0-9.@]+'
	[[ $1 =~ ^[[:space:]]*(${option}[[:space:]]+)?($type)[[:space:]]+([A-Za-z0-9+/=]+)([[:space:]]|$) ]] || return 0
	echo "${BASH_REMATCH[4]} ${BASH_REMATCH[7]}"
}

# written FILE TEXT: replace a file of the account by one with this text, for its owner alone.
written() {
	local new
	if [[ ! -e $1 || $(<"$1") != "$2" ]]; then
		new=$(mktemp "$1.XXXXXX")
		printf '%s' "${2:+$2
}" >"$new"
		chown "$uid:$gid" "$new"
		mv -f "$new" "$1"
		echo "wrote $1"
	fi
	chown "$uid:$gid" "$1"
	chmod 0600 "$1"
}

account "$user"
install -d -m 0700 -o "$uid" -g "$gid" "$home/.ssh"
written "$home/.ssh/authorized_keys" "$wanted"

# cloud-init has put the keys here as well, with a command that names the user to log in as.
account root
file=$home/.ssh/authorized_keys
[[ -e $file ]] || exit 0
listed=$(while IFS= read -r line; do key_of "$line"; done <<<"$wanted")
left=$(
	while IFS= read -r line || [[ $line ]]; do
		key=$(key_of "$line")
		if [[ $line =~ ^[[:space:]]*(#|$) ]] || { [[ $key ]] && grep -qFx -e "$key" <<<"$listed"; }; then
			printf '%s\n' "$line"
		fi
	done <"$file"
)
written "$file" "$left"
