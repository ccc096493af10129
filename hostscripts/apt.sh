# shellcheck shell=bash
# Package sources with pinned keys, for the host itself and for another architecture's packages.

# apt_keys: the keys that inbox/apt/keys lists (SHA256 URL), verified, in /etc/apt/keyrings.
apt_keys() {
	[[ -s $inbox/apt/keys ]] || return 0
	install -d /etc/apt/keyrings
	local sum url
	while read -r sum url; do
		fetch "$url" "/etc/apt/keyrings/q8s-${sum:0:12}.asc" "$sum"
	done <"$inbox/apt/keys"
}

# apt_host_sources: the host's own sources, where the spec replaces them, and the Kubernetes packages'.
apt_host_sources() {
	apt_keys
	local file changed=no
	for file in "$inbox"/apt/host/*; do
		[[ -e $file ]] || continue
		if place "$file" "/etc/apt/sources.list.d/${file##*/}" 0644; then changed=yes; fi
	done
	if [[ -s $inbox/apt/proxy ]] && place "$inbox/apt/proxy" /etc/apt/apt.conf.d/80q8s-proxy 0644; then changed=yes; fi
	if [[ $changed = yes || ! -e /var/lib/apt/q8s-updated ]]; then
		retry 4 apt-get -q -o DPkg::Lock::Timeout=600 -o APT::Update::Error-Mode=any update ||
			fail "apt-get update failed: a package source is unreachable or its signature is wrong"
		touch /var/lib/apt/q8s-updated
	fi
}

# apt_install PACKAGE...: install what is missing, without recommendations.
apt_install() {
	retry 3 apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 --no-install-recommends \
		--allow-change-held-packages install "$@" || fail "apt-get install failed: $*"
}

# apt_foreign ROOT ARCHITECTURE SOURCES TREE PACKAGE...: unpack packages of any architecture into TREE.
# Nothing of them is run, so no emulation is needed.
apt_foreign() {
	local root=$1 architecture=$2 sources=$3 tree=$4
	shift 4
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
