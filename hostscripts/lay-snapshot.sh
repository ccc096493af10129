#!/usr/bin/env bash
# Lays a snapshot where the first control plane makes its cluster from it (init-cluster.sh).
# inbox: snapshot (base64 of what snapshot.sh printed)
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

[[ ! -e /etc/kubernetes/manifests/etcd.yaml ]] || fail "$(hostname) has etcd already. Nothing was changed"
target=/var/lib/q8s-restore
rm -rf "$target" "$target.part"
install -d -m 0700 "$target.part"
base64 -d "$inbox/snapshot" | tar -xz -C "$target.part" --no-same-owner
mv "$target.part" "$target"
progress "the snapshot is there"
