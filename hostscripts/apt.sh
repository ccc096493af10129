# shellcheck shell=bash
# Package sources with pinned keys, for the host itself and for another architecture's packages.

apt_keyrings=${apt_keyrings:-/etc/apt/keyrings}
apt_configuration=${apt_configuration:-/etc/apt/apt.conf.d}
apt_sources=${apt_sources:-/etc/apt}
needrestart_configuration=${needrestart_configuration:-/etc/needrestart/conf.d}
# needrestart restarts nothing after our own calls of apt.
export NEEDRESTART_SUSPEND=yes NEEDRESTART_MODE=l

# apt_get WORD...: apt-get, which waits for another program's locks for ten minutes. Its own DPkg::Lock::Timeout waits for dpkg's lock
# only, and a new host's timers hold those of package lists and downloads, too.
apt_get() {
	local errors=$inbox/apt-errors attempt said
	for attempt in {1..60}; do
		if apt-get -q "$@" 2>"$errors"; then
			printf '%s\n' "$(<"$errors")"
			return 0
		fi
		said=$(<"$errors")
		printf '%s\n' "$said"
		[[ $said =~ Could\ not\ get\ lock[^$'\n']* ]] || return 1
		said=${BASH_REMATCH[0]}
		((attempt > 1)) || progress "waiting for another apt on this host: $said"
		sleep 10
	done
	fail "apt is locked on this host for ten minutes: $said. Wait for that program, or end it, then run the command again"
}

# apt_needrestart: what unattended upgrades of this host install later restarts none of our services, and no step that runs.
apt_needrestart() {
	# shellcheck disable=SC2016 # A variable of Perl's.
	printf '$nrconf{override_rc}{qr(^%s)} = 0;\n' q8s- libvirt-guests >"$inbox/needrestart.conf"
	place "$inbox/needrestart.conf" "$needrestart_configuration/q8s.conf" 0644 || true
}

# apt_keys: the keys that inbox/apt/keys lists, verified, in /etc/apt/keyrings. A line is SHA256 URL, of the whole file;
# or FINGERPRINT[,FINGERPRINT...] URL NAME, of every primary key in it.
apt_keys() {
	[[ -s $inbox/apt/keys ]] || return 0
	install -d "$apt_keyrings"
	local -a lines by_fingerprint=()
	mapfile -t lines <"$inbox/apt/keys"
	local line pin url name
	for line in "${lines[@]}"; do
		read -r pin url name <<<"$line"
		if [[ $name ]]; then
			by_fingerprint+=("$line")
		else
			fetch "$url" "$apt_keyrings/q8s-${pin:0:12}.asc" "$pin"
		fi
	done
	((${#by_fingerprint[@]})) || return 0
	apt_gpg
	for line in "${by_fingerprint[@]}"; do
		read -r pin url name <<<"$line"
		apt_fetch_key "$url" "$apt_keyrings/$name" "$pin"
	done
}

# apt_gpg: gpg, unless the image has it. None has for certain: apt depends on gpgv or sqv, and neither of them lists keys.
apt_gpg() {
	if command -v gpg >/dev/null; then return; fi
	apt_lists_so_far
	apt_install gpg
}

# apt_lists_so_far: for what sources themselves need. Those that lack it yet are refused here, one by one; the others are enough.
apt_lists_so_far() {
	apt_get update || echo "some package sources can't be used yet"
}

# apt_fetch_key URL FILE FINGERPRINT[,FINGERPRINT...]: a key file, downloaded anew as its expiry may have been extended.
# Refused unless each primary key in it has one of the fingerprints. FILE is what gpg has read of it, written anew: what
# another reader of the download might see in it, and gpg does not, never reaches apt.
apt_fetch_key() {
	local url=$1 file=$2 allowed=$3 work found key
	work=$(mktemp -d "$inbox/key.XXXXXX")
	download "$url" "$work/download"
	local -a gpg=(gpg --homedir "$work" --no-options --batch --quiet --no-autostart --no-auto-check-trustdb)
	"${gpg[@]}" --import "$work/download" || fail "no OpenPGP public key that gpg can read at $url"
	found=$(
		{
			"${gpg[@]}" --with-colons --show-keys "$work/download"
			"${gpg[@]}" --with-colons --list-keys
		} | awk -F: '$1 == "pub" { primary = 1 } $1 == "fpr" && primary { print $10; primary = 0 }' | sort -u
	)
	[[ $found ]] || fail "no OpenPGP public key at $url"
	for key in $found; do
		[[ ,$allowed, = *,"$key",* ]] || fail "wrong key at $url: $key is there, allowed is ${allowed//,/ or }"
	done
	"${gpg[@]}" --armor --export >"$work/checked"
	place "$work/checked" "$file" 0644 || true
	rm -rf "$work"
}

# apt_proxy: apt's proxies on the host, as the spec has them or has none; true when they changed. apt hands them from root to
# those who download.
apt_proxy() {
	local file=$apt_configuration/80q8s-proxy
	if [[ -s $inbox/apt/proxy ]]; then
		place "$inbox/apt/proxy" "$file" 0600
	else
		[[ -e $file ]] && rm "$file"
	fi
}

# apt_place_sources: inbox/apt/host/*.sources beside the image's own sources; or, with inbox/apt/instead, in their place: apt then
# reads another folder, and what the image has stays as it is. True when something changed.
apt_place_sources() {
	local folder=$apt_sources/sources.list.d configuration=$apt_configuration/80q8s-sources file changed=no
	if [[ -e $inbox/apt/instead ]]; then
		folder=$apt_sources/q8s.sources.d
		printf 'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "%s";\n' "$folder" >"$inbox/apt/sources.conf"
		if place "$inbox/apt/sources.conf" "$configuration" 0644; then changed=yes; fi
	elif [[ -e $configuration ]]; then
		rm "$configuration"
		changed=yes
	fi
	for file in "$inbox"/apt/host/*; do
		[[ -e $file ]] || continue
		if place "$file" "$folder/${file##*/}" 0644; then changed=yes; fi
	done
	# What an earlier description had.
	for file in "$apt_sources"/{sources.list.d,q8s.sources.d}/q8s-*.sources; do
		[[ -e $file ]] || continue
		if [[ ${file%/*} != "$folder" || ! -e $inbox/apt/host/${file##*/} ]]; then
			rm "$file"
			changed=yes
		fi
	done
	[[ $changed = yes ]]
}

# apt_host_sources: the host's own sources, where the spec replaces them, and the Kubernetes packages'.
apt_host_sources() {
	local changed=no
	apt_needrestart
	if apt_place_sources; then changed=yes; fi
	if apt_proxy; then changed=yes; fi
	# Gone until the lists are there, whatever fails in between.
	if [[ $changed = yes ]]; then rm -f /var/lib/apt/q8s-updated; fi
	# After the sources, as ca-certificates and gpg may have to come from them.
	site_ca
	apt_keys
	if [[ ! -e /var/lib/apt/q8s-updated ]]; then
		apt_update
		touch /var/lib/apt/q8s-updated
	fi
}

# apt_update: what the sources have now.
apt_update() {
	retry 4 apt_get -o APT::Update::Error-Mode=any update ||
		fail "apt-get update failed: a package source is unreachable or its signature is wrong"
}

# apt_try_install PACKAGE...: install what is missing, without recommendations; false where that fails.
apt_try_install() {
	retry 3 apt_get -y -o Dpkg::Use-Pty=0 --no-install-recommends \
		--allow-change-held-packages install "$@"
}

# apt_chosen PACKAGE: of names with | in between, the first that a source has; the last where none has any.
apt_chosen() {
	local name
	for name in ${1//|/ }; do
		if [[ $1 != *'|'* || $(apt-cache --no-all-versions show "$name" 2>/dev/null) ]]; then break; fi
	done
	echo "$name"
}

# apt_install PACKAGE...: the same, with alternatives as above, and no step goes on without.
apt_install() {
	local each names=()
	for each in "$@"; do names+=("$(apt_chosen "$each")"); done
	apt_try_install "${names[@]}" || fail "apt-get install failed: ${names[*]}"
}

# apt_keyring PACKAGE FILE ADVICE: a distribution's keyring, from the host's sources where its image lacks it.
apt_keyring() {
	local package=$1 file=$2 advice=$3
	[[ -s $file ]] || apt_try_install "$package" || fail "cannot install $package, which has $file: $advice"
	[[ -s $file ]] || fail "no $file in package $package: $advice"
}

# apt_archive_keyrings: the distributions' keyrings that inbox/apt/keyrings lists (PACKAGE FILE).
apt_archive_keyrings() {
	[[ -s $inbox/apt/keyrings ]] || return 0
	local -a lines
	mapfile -t lines <"$inbox/apt/keyrings"
	local line package file
	for line in "${lines[@]}"; do
		read -r package file <<<"$line"
		apt_keyring "$package" "$file" "give sources.guestApt a keyUrl"
	done
}

# apt_foreign ROOT ARCHITECTURE SOURCES TREE PACKAGE...: unpack packages of any architecture into TREE.
# Nothing of them is run, so no emulation is needed.
apt_foreign() {
	local root=$1 architecture=$2 sources=$3 tree=$4
	shift 4
	apt_archive_keyrings
	mkdir -p "$root"/etc/apt/{apt.conf.d,preferences.d,sources.list.d,trusted.gpg.d} \
		"$root"/var/lib/apt/lists/partial "$root"/var/cache/apt/archives/partial "$root"/debs "$tree"
	: >"$root/status"
	cp "$sources"/* "$root/etc/apt/sources.list.d/"
	cat >"$root/apt.conf" <<-CONF
		Dir "$root";
		Dir::State::status "$root/status";
		APT::Architecture "$architecture";
		APT::Architectures { "$architecture"; };
		APT::Sandbox::User "root";
	CONF
	if [[ -s $inbox/apt/proxy ]]; then cat "$inbox/apt/proxy" >>"$root/apt.conf"; fi
	retry 4 env APT_CONFIG="$root/apt.conf" apt-get -q -o APT::Update::Error-Mode=any update ||
		fail "no package lists for $architecture: a package source is unreachable or its signature is wrong"
	(cd "$root/debs" && APT_CONFIG="$root/apt.conf" retry 3 apt-get -q download "$@") ||
		fail "cannot download the $architecture packages: $*"
	local deb
	for deb in "$root"/debs/*.deb; do dpkg-deb -x "$deb" "$tree"; done
}
