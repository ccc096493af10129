#!/usr/bin/env bash
# What a lost cluster is made again from, as tar.gz: etcd's data, the keys by which its nodes and pods know it, what it keeps for
# life, and its version. No API server is needed for it, and no majority of etcd.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh
# shellcheck source=hostscripts/etcd.sh
. ./etcd.sh

manifest=/etc/kubernetes/manifests/etcd.yaml
[[ -e $manifest ]] || fail "$(hostname) is no control plane of a cluster yet"
work=/var/lib/q8s-snapshot
trap 'rm -rf "$work"' EXIT
rm -rf "$work"
install -d -m 0700 "$work" "$work/pki/etcd"
progress "etcd's data"
etcd_tool "$(awk '$1 == "image:" { print $2; exit }' "$manifest")" "$work" etcdctl --endpoints https://127.0.0.1:2379 \
	--cacert /pki/ca.crt --cert /pki/healthcheck-client.crt --key /pki/healthcheck-client.key snapshot save /data/etcd.db ||
	fail "etcd does not answer: see crictl logs of its container"
for file in {ca,sa,front-proxy-ca,etcd/ca}.{crt,key,pub}; do
	[[ ! -e /etc/kubernetes/pki/$file ]] || cp -p "/etc/kubernetes/pki/$file" "$work/pki/$file"
done
[[ ! -e /etc/kubernetes/q8s-fixed ]] || cp /etc/kubernetes/q8s-fixed "$work/fixed"
kubelet --version | cut -d' ' -f2 >"$work/kubernetes-version"
tar -C "$work" -cz . >&3
progress "snapshot of $(du -h "$work/etcd.db" | cut -f1)"
