# shellcheck shell=bash
# The guest's image, where its checksum is not given: its publisher has signed it.

# guest_image URL FILE: the image, checked by the SHA256SUMS beside it, and that by SHA256SUMS.gpg and the keyring that
# inbox/image-keyring names (PACKAGE FILE). An image that was checked once is kept: its publisher may remove old releases.
guest_image() {
	local url=$1 file=$2 package keyring work status sum
	local sums=${url%/*}/SHA256SUMS advice="give the image's sha256 in guestImages"
	if [[ -f $file ]] && sha256sum --check --status "$file.sha256"; then return; fi
	read -r package keyring <"$inbox/image-keyring"
	apt_keyring "$package" "$keyring" "$advice"
	# apt brings it, or sqv in its place.
	command -v gpgv >/dev/null || apt_install gpgv
	work=$(mktemp -d "$inbox/image.XXXXXX")
	download "$sums" "$work/sums" "the image's checksum has to be there; or $advice"
	download "$sums.gpg" "$work/signature" "the checksums' signature has to be there; or $advice"
	status=$(gpgv --homedir "$work" --status-fd 1 --keyring "$keyring" "$work/signature" "$work/sums") ||
		case $status in
			*" BADSIG "*) fail "bad signature: $sums is not what $sums.gpg was made for" ;;
			*" NO_PUBKEY "*) fail "unknown key: $sums.gpg is by none of those in $keyring; $advice, if you trust it" ;;
			*) fail "no signature that gpgv can read at $sums.gpg" ;;
		esac
	sum=$(awk -v name="${url##*/}" '$2 == name || $2 == "*" name { print $1; exit }' "$work/sums")
	[[ $sum =~ ^[0-9a-f]{64}$ ]] || fail "image not listed: $sums has no checksum of ${url##*/}"
	fetch "$url" "$file" "$sum"
	echo "$sum  $file" >"$file.sha256"
	rm -rf "$work"
}
