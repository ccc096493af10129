# shellcheck shell=bash
# The payload: everything architecture-specific that a guest needs, prepared natively as a disk.

# payload_build FILE: make the payload disk (qcow2) unless it is there; its name carries its content's key.
# Uses architecture (Debian's name), platform (OCI's), packages and images from the arguments and inbox/payload.
payload_build() {
	local file=$1 work tree
	[[ ! -f $file ]] || return 0
	work=$(mktemp -d "$(dirname "$file")/.payload.XXXXXX")
	tree=$work/tree
	mkdir -p "$tree/containerd" "$tree/root"

	progress "unpacking the guest's packages ($architecture)"
	local -a packages images
	mapfile -t packages <"$inbox/payload/packages"
	mapfile -t images <"$inbox/payload/images"
	apt_foreign "$work/apt" "$architecture" "$inbox/apt/guest" "$tree/root" "${packages[@]}"

	progress "unpacking the guest's container images ($platform)"
	payload_images "$work" "$tree/containerd" "${images[@]}"

	payload_for_a_running_guest "$tree/root/usr/bin"

	progress "writing the payload disk"
	local megabytes
	megabytes=$(du -sm "$tree" | cut -f1)
	truncate -s "$((megabytes + megabytes / 5 + 256))M" "$work/disk.raw"
	mkfs.ext4 -q -F -L q8s-payload -m 0 -E lazy_itable_init=1,lazy_journal_init=1 -d "$tree" "$work/disk.raw"
	qemu-img convert -O qcow2 "$work/disk.raw" "$work/disk.qcow2"
	chmod 0644 "$work/disk.qcow2"
	mv "$work/disk.qcow2" "$file"
	rm -rf "$work"
}

# payload_for_a_running_guest EXECUTABLES: a guest that is there goes on with its own disk, and gets from another payload what a
# version of Kubernetes is: on its own link, when it is asked to (upgrade-guest.sh).
payload_for_a_running_guest() {
	[[ -e ${data:?}/guest/whole ]] || return 0
	tar -C "$1" -cf "$data/kubernetes.tar.new" kubelet kubeadm
	chmod 0644 "$data/kubernetes.tar.new"
	mv "$data/kubernetes.tar.new" "$data/kubernetes.tar"
	place "$inbox/q8s-payload@.service" /etc/systemd/system/q8s-payload@.service 0644 || true
	place "$inbox/q8s-payload.socket" /etc/systemd/system/q8s-payload.socket 0644 || true
	systemctl daemon-reload
	systemctl enable --quiet --now q8s-payload.socket
}

# payload_images WORK ROOT IMAGE...: pull images of the guest's platform into a containerd root of their own.
payload_images() {
	local work=$1 root=$2 image
	shift 2
	registry_hosts "$work/certs.d"
	local -a containerd=(containerd --config "$work/containerd.toml" --root "$root" --state "$work/state" --address "$work/containerd.sock")
	printf 'version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >"$work/containerd.toml"
	(
		proxy_environment
		exec "${containerd[@]}"
	) >"$work/containerd.log" 2>&1 &
	local pid=$!
	retry 5 ctr --address "$work/containerd.sock" version >/dev/null || fail "containerd did not start: $(tail -n 3 "$work/containerd.log")"
	# By its release, ctr or containerd is the one that downloads.
	for image in "$@"; do
		retry 3 proxied ctr --address "$work/containerd.sock" --namespace k8s.io images pull \
			--platform "$platform" --hosts-dir "$work/certs.d" "$image" >/dev/null || {
			kill "$pid"
			fail "cannot pull $image for $platform: is the registry reachable from this host?"
		}
	done
	kill "$pid"
	wait "$pid" || true
}
