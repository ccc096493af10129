#!/usr/bin/env bash
# Makes a new guest a node: puts the payload in place, and then what its host hands over (q8s_become.py). Runs at every boot
# and again after a failure, until the guest has joined; then there is nothing more to do.
# Nothing is installed here: an emulated CPU is many times slower than its host.
# Argument: where the host hands over another version's executables, once it has any (ADDRESS/PORT).
set -euo pipefail
exec >>/var/log/q8s-join.log 2>&1

mark=/var/lib/q8s-joined
[[ ! -e $mark ]] || exit 0
newer=$1
payload=/opt/q8s
note() { printf '%s %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$*" | tee /dev/console; }
trap 'note "q8s: join failed at line $LINENO: $BASH_COMMAND"' ERR

# kubelet does not start with swap. What brings it at the next boot: fstab, units of the image, partitions that systemd finds.
if [[ $(wc -l </proc/swaps) -gt 1 ]]; then
	note "q8s: turning swap off"
	sed -Ei 's/^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]/# q8s: &/' /etc/fstab
	systemctl --quiet --no-reload mask swap.target
	swapoff --all
fi

note "q8s: payload"
mkdir -p "$payload" /var/lib/containerd /opt/cni/bin /etc/cni/net.d
grep -q "$payload" /etc/fstab || cat >>/etc/fstab <<-FSTAB
	LABEL=q8s-payload $payload ext4 noatime,nofail 0 2
	$payload/containerd /var/lib/containerd none bind,nofail,x-systemd.requires=$payload 0 0
	$payload/root/opt/cni /opt/cni none bind,nofail,x-systemd.requires=$payload 0 0
FSTAB
mountpoint -q "$payload" || mount "$payload"
resize2fs "$(findmnt --noheadings --output SOURCE "$payload")"
mkdir -p "$payload/root/opt/cni/bin"
mountpoint -q /var/lib/containerd || mount /var/lib/containerd
mountpoint -q /opt/cni || mount /opt/cni
for file in "$payload"/root/usr/bin/* "$payload"/root/usr/sbin/* "$payload"/root/sbin/* "$payload"/root/bin/*; do
	[[ -e $file ]] || continue
	command -v "${file##*/}" >/dev/null || ln -sf "$file" "/usr/local/bin/${file##*/}"
done
# Where programs look without being told.
for file in "$payload"/root/usr/lib/*-linux-gnu*/*.so.*; do
	[[ ! -e $file || -e /${file#"$payload/root/"} ]] || ln -s "$file" "/${file#"$payload/root/"}"
done

note "q8s: network"
# The cluster is joined by the host's own address, so without it only pods would miss the rest of the world.
if [[ -z $(ip -4 route show default) ]]; then
	note "q8s: no default route: the image has not taken all of its network settings"
	exit 1
fi
modprobe -a overlay br_netfilter vxlan
sysctl -q --system

note "q8s: containerd"
# systemd finds units that are new by itself, and to read all others anew takes it seconds here.
systemctl --quiet --no-reload enable containerd.service q8s-flannel-offload.service
systemctl start containerd.service
# Its turn comes when the system is up.
systemctl --no-block start q8s-flannel-offload.service
# Only where hosts can't unpack them for this architecture.
if [[ -e $payload/images.tar ]]; then
	note "q8s: images"
	ctr --namespace k8s.io images import "$payload/images.tar" >/dev/null
	rm "$payload/images.tar"
fi
# kubelet's configuration names this, whatever the image resolves names by.
resolvers=/run/systemd/resolve/resolv.conf
[[ -e $resolvers ]] || resolvers=/etc/resolv.conf
mkdir -p /etc/q8s
ln -sfn "$resolvers" /etc/q8s/resolv.conf
# Where it is missing, kubelet says so every second, and journald writes it down.
mkdir -p /etc/kubernetes/manifests
# The cluster may have been upgraded since this guest was made.
if [[ ! -e /var/lib/kubelet/pki/kubelet-client-current.pem ]]; then
	new=$(mktemp -d "$payload/root/usr/bin/.q8s.XXXXXX")
	if timeout 300 tar -x -C "$new" <"/dev/tcp/$newer"; then
		versions=("$(kubeadm version -o short)" "$("$new/kubeadm" version -o short)")
		if [[ $(printf '%s\n' "${versions[@]}" | sort --version-sort | tail -n 1) != "${versions[0]}" ]]; then
			mv -f "$new/kubelet" "$new/kubeadm" "$payload/root/usr/bin/"
			note "q8s: ${versions[1]} from the host, was ${versions[0]}"
		fi
	fi
	rm -rf "$new"
fi
note "q8s: waiting for what the host hands over"
python3 /usr/local/sbin/q8s-become
touch "$mark"
note "q8s: joined"
