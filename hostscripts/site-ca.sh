# shellcheck shell=bash
# The site's own certificate authorities, in the store of the host, which curl, apt and containerd trust.

ca_store=${ca_store:-/usr/local/share/ca-certificates}
ca_trusted=${ca_trusted:-/etc/q8s/site-ca.pem}

# site_ca: trust the certificates in inbox/ca, and of the site's no others. curl and apt read the store each time, containerd when
# it starts; its containers go on when it does.
site_ca() {
	local given=$inbox/site-ca.pem
	if [[ -d $inbox/ca ]]; then cat "$inbox"/ca/*.crt; fi >"$given"
	if [[ ! -s $given && ! -e $ca_trusted ]] || cmp -s "$given" "$ca_trusted"; then return; fi
	progress "the site's certificate authorities"
	if ! command -v update-ca-certificates >/dev/null; then
		apt_lists_so_far
		apt_install ca-certificates
	fi
	# Neither these nor the former ones, whatever fails in between.
	mkdir -p "${ca_trusted%/*}"
	echo "being changed" >"$ca_trusted"
	rm -f "$ca_store"/q8s-site*.crt
	if [[ -s $given ]]; then install -D -m 0644 -t "$ca_store" "$inbox"/ca/*.crt; fi
	# Fresh, as links by hash stay by themselves where a file of the same name has another certificate.
	update-ca-certificates --fresh
	if systemctl -q is-active containerd.service; then systemctl restart containerd.service; fi
	if [[ -s $given ]]; then mv "$given" "$ca_trusted"; else rm "$ca_trusted"; fi
}
