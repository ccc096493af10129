#!/usr/bin/env bash
# Lays a snapshot where the first control plane makes its cluster from it (init-cluster.sh).
# inbox: snapshot (what snapshot.sh printed)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

[[ ! -e /etc/kubernetes/manifests/etcd.yaml ]] || fail "$(hostname) has etcd already. Nothing was changed"
target=/var/lib/q8s-restore
rm -rf "$target" "$target.part"
install -d -m 0700 "$target.part"
tar -xzf "$inbox/snapshot" -C "$target.part" --no-same-owner
# Before etcd's data is made from it, which takes as much of the disk again.
rm "$inbox/snapshot"
for part in etcd.db pki/ca.key kubernetes-version; do
	[[ -s $target.part/$part ]] || fail "the snapshot has no $part. Nothing was changed"
done
mv "$target.part" "$target"
progress "the snapshot is there"
