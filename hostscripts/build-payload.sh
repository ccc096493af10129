#!/usr/bin/env bash
# What all guests of an architecture are made from, fetched and prepared once: their image and their payload disk; and who serves
# them to the workers' hosts. On the first control plane, beside what makes the cluster, to which it leaves the way.
# Arguments: address and port that they are served at, architecture, platform, image (the name of its file), image_url, image_sha256 (where its publisher has not
# signed it), payload_key
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/apt.sh
. ./apt.sh
# shellcheck source=hostscripts/site-ca.sh
. ./site-ca.sh
# shellcheck source=hostscripts/container-runtime.sh
. ./container-runtime.sh
# shellcheck source=hostscripts/guest-image.sh
. ./guest-image.sh
# shellcheck source=hostscripts/payload.sh
. ./payload.sh

: "${address:?}" "${port:?}" "${architecture:?}" "${platform:?}" "${image:?}" "${image_url:?}" "${payload_key:?}"
artifacts=/var/lib/q8s/artifacts
ours=$artifacts/$architecture
image_file=$ours/image-$image.qcow2 disk=$ours/payload-$payload_key.qcow2 executables=$ours/kubernetes-$payload_key.tar
install -d -m 0755 /var/lib/q8s "$artifacts" "$ours"
renice -n 10 $$ >/dev/null

# Those of other versions, and what an attempt that was cut off has left.
find "$ours" -mindepth 1 -maxdepth 1 ! -name "${image_file##*/}*" ! -name "${disk##*/}*" ! -name "${executables##*/}*" \
	-exec rm -rf {} +
site_ca
apt_keys
apt_install qemu-utils

progress "guest image of $architecture"
if [[ ${image_sha256:-} ]]; then
	fetch "$image_url" "$image_file" "$image_sha256"
	echo "$image_sha256  $image_file" >"$image_file.sha256"
else
	guest_image "$image_url" "$image_file"
fi
payload_build "$disk" "$executables"

if place "$inbox/q8s-artifacts.service" /etc/systemd/system/q8s-artifacts.service 0644; then systemctl daemon-reload; fi
printf 'ADDRESS=%s\nPORT=%s\n' "$address" "$port" >"$inbox/artifacts.env"
if place "$inbox/artifacts.env" /etc/q8s/artifacts.env 0644; then systemctl restart q8s-artifacts.service; fi
systemctl enable --quiet --now q8s-artifacts.service
progress "image and payload of $architecture are there"
