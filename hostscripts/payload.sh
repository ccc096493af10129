# shellcheck shell=bash
# The payload: everything architecture-specific that guests need, prepared natively as a disk.

# payload_build DISK EXECUTABLES: make the payload disk (qcow2) unless it is there, and an archive of what a running guest gets of
# another version of Kubernetes; their names carry their content's key, and the checksum of each is beside it.
# Uses architecture (Debian's name), platform (OCI's), room, packages and images from the arguments and inbox/payload, and the
# folder work, which is on the files' disk. With images_packed=yes guests unpack the images by themselves.
payload_build() {
	local disk=$1 executables=$2 tree=${work:?}/tree free
	if sha256sum --check --status "$disk.sha256" "$executables.sha256"; then return; fi
	free=$(($(df --output=avail --block-size=1M "$(dirname "$disk")" | tail -n 1)))
	# Packages, unpacked images, the file system and the disk made of it are there at once.
	((free > room)) ||
		fail "a payload takes $room MiB while it is written, and $free MiB are free on $(hostname): another flavor has more disk"
	install -d -m 0700 "$work"
	mkdir -p "$tree/containerd" "$tree/root"

	progress "unpacking the guests' packages ($architecture)"
	local -a packages images
	mapfile -t packages <"$inbox/payload/packages"
	mapfile -t images <"$inbox/payload/images"
	apt_foreign "$work/apt" "$architecture" "$inbox/apt/guest" "$tree/root" "${packages[@]}"

	progress "unpacking the guests' container images ($platform)"
	local unpacked=$tree/containerd packed=""
	if [[ ${images_packed:-no} = yes ]]; then unpacked=$work/containerd packed=$tree/images.tar; fi
	payload_images "$work" "$unpacked" "$packed" "${images[@]}"

	progress "writing the payload disk ($architecture)"
	local megabytes
	megabytes=$(du -sm "$tree" | cut -f1)
	truncate -s "$((megabytes + megabytes / 5 + 256))M" "$work/disk.raw"
	mkfs.ext4 -q -F -L q8s-payload -m 0 -E lazy_itable_init=1,lazy_journal_init=1 -d "$tree" "$work/disk.raw"
	qemu-img convert -O qcow2 "$work/disk.raw" "$work/disk.qcow2"
	tar -C "$tree/root/usr/bin" -cf "$work/kubernetes.tar" kubelet kubeadm
	chmod 0644 "$work/disk.qcow2" "$work/kubernetes.tar"
	mv "$work/disk.qcow2" "$disk"
	mv "$work/kubernetes.tar" "$executables"
	local file
	for file in "$disk" "$executables"; do sha256sum "$file" >"$file.sha256"; done
	rm -rf "$work"
}

# payload_images WORK ROOT ARCHIVE IMAGE...: pull images of the guest's platform into a containerd root of their own, and where
# ARCHIVE is not empty, write them there as well.
payload_images() {
	local work=$1 root=$2 archive=$3 image
	shift 3
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
	if [[ $archive ]]; then
		ctr --address "$work/containerd.sock" --namespace k8s.io images export --platform "$platform" "$archive" "$@" || {
			kill "$pid"
			fail "cannot write the images for $platform: see $step_log"
		}
	fi
	kill "$pid"
	wait "$pid" || true
}
