# shellcheck shell=bash disable=SC2034
# What a guest is made from, on its host: image and payload, which the first control plane serves, and the seed.
# Uses data, artifacts, architecture, image, payload_key and the checksums of who asks for it.

# served NAME FILE SHA256: from the first control plane.
served() {
	fetch "${artifacts:?}/${architecture:?}/$1" "$2" "$3" "the first control plane serves it: is q8s-artifacts.service active there?"
}

# guest_base: the guest's image and its payload, as the files base and payload.
guest_base() {
	progress "guest image and payload"
	base=${data:?}/images/${image:?}.qcow2 payload=$data/images/payload-${payload_key:?}.qcow2
	served "image-$image.qcow2" "$base" "${image_sha256:?}"
	served "payload-$payload_key.qcow2" "$payload" "${payload_sha256:?}"
}

# guest_seed: what of the seed only the host knows, in inbox/seed.
guest_seed() {
	local server=${artifacts#*://} nic mtu
	server=${server%%[:/]*}
	# That of the cluster's network, which is where the first control plane is.
	nic=$(ip -oneline -4 route get "$server") ||
		fail "this host has no route to the first control plane at $server: compare ip route with the routes of its subnet"
	# Some words, "dev", the interface, and more words.
	nic=${nic#* dev }
	nic=${nic%% *}
	mtu=$(cat "/sys/class/net/$nic/mtu")
	sed -i "s/@MTU@/$mtu/" "$inbox/seed/network-config"
}
