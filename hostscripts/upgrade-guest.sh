#!/usr/bin/env bash
# In a guest: the executables of another version, from the host, and what kubeadm makes of kubelet's settings for it. kubelet
# starts anew when all is in place; what runs in containers goes on meanwhile.
# Arguments: VERSION, PAYLOAD (ADDRESS/PORT, the host's end of the link)
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
version=$1 payload=$2
executables=/opt/q8s/root/usr/bin
new=$(mktemp -d "$executables/.q8s-upgrade.XXXXXX")
trap 'rm -rf "$new"' EXIT

echo "getting kubelet and kubeadm $version from the host"
tar -x -C "$new" <"/dev/tcp/$payload"
for said in "$("$new/kubelet" --version)" "$("$new/kubeadm" version -o short)"; do
	[[ ${said##* } = "$version" ]] || {
		echo "the host has ${said##* }, and not $version: has its own step been done?"
		exit 1
	}
done
mv -f "$new/kubelet" "$new/kubeadm" "$executables/"
kubeadm upgrade node
echo "starting kubelet $version"
systemctl restart kubelet.service
