#!/usr/bin/env bash
# What all guests of an architecture are made from, fetched and prepared once: their image and their payload disk; and who serves
# them to the workers' hosts. On the first control plane, beside what makes the cluster, to which it leaves the way.
# Arguments: address and port that they are served at, architecture, platform, image (the name of its file), image_url,
# image_sha256 (where its publisher has not signed it), payload_key, room (MiB that a payload takes while it is written)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/apt.sh
. ./apt.sh
# shellcheck source=hostscripts/container-runtime.sh
. ./container-runtime.sh
# shellcheck source=hostscripts/guest-image.sh
. ./guest-image.sh
# shellcheck source=hostscripts/payload.sh
. ./payload.sh

: "${address:?}" "${port:?}" "${architecture:?}" "${platform:?}" "${image:?}" "${image_url:?}" "${payload_key:?}" "${room:?}"
artifacts=/var/lib/q8s/artifacts
ours=$artifacts/$architecture
image_file=$ours/image-$image.qcow2 disk=$ours/payload-$payload_key.qcow2 executables=$ours/kubernetes-$payload_key.tar
work=/var/lib/q8s/work
install -d -m 0755 /var/lib/q8s "$artifacts" "$ours"
# etcd is on this disk.
renice -n 10 $$ >/dev/null
ionice --class 3 --pid $$

# Architectures come one after the other: they share package lists, keys and the room for a payload that is being written.
exec 9>/var/lib/q8s/payload.lock
flock --nonblock 9 || {
	progress "another architecture's payload comes first"
	flock 9
}
# What an attempt that was cut off has left.
rm -rf "$work"
apt_keys
# Debian 13 has images without e2fsprogs.
{ command -v qemu-img && command -v mkfs.ext4; } >/dev/null || {
	apt_update
	apt_install qemu-utils e2fsprogs
}

progress "guest image of $architecture"
if [[ ${image_sha256:-} ]]; then
	fetch "$image_url" "$image_file" "$image_sha256"
	echo "$image_sha256  $image_file" >"$image_file.sha256"
else
	guest_image "$image_url" "$image_file"
fi
payload_build "$disk" "$executables"

printf 'ADDRESS=%s\nPORT=%s\n' "$address" "$port" >"$inbox/artifacts.env"
# Modules that it imports lie beside it.
for module in q8s_states.py q8s_limits.py; do
	place "$inbox/$module" "/usr/local/sbin/$module" 0644 || true
done
place "$inbox/q8s_artifacts.py" /usr/local/sbin/q8s-artifacts 0755 || true
place "$inbox/states.key" /etc/q8s/states.key 0600 || true
place "$inbox/artifacts.env" /etc/q8s/artifacts.env 0644 || true
place "$inbox/q8s-artifacts.service" /etc/systemd/system/q8s-artifacts.service 0644 || true
systemctl daemon-reload
systemctl enable --quiet --now q8s-artifacts.service
# Not by what was placed just now: a step that was cut off before the restart would never restart it.
files=$(cat /usr/local/sbin/q8s-artifacts /usr/local/sbin/q8s_{states,limits}.py /etc/q8s/{states.key,artifacts.env} \
	/etc/systemd/system/q8s-artifacts.service | sha256sum)
started=/run/q8s-artifacts.started
if [[ ! -e $started || $(<"$started") != "$files" ]]; then
	systemctl restart q8s-artifacts.service
	echo "$files" >"$started"
fi
retry 5 curl -fsS --noproxy '*' --max-time 10 --output /dev/null "http://$address:$port/$architecture/" ||
	fail "q8s-artifacts.service does not serve at $address:$port: see journalctl -u q8s-artifacts"
progress "image and payload of $architecture are there"
