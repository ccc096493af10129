#!/usr/bin/env bash
# Takes a worker's bootstrap token back; one that has expired is gone already.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

export KUBECONFIG=/etc/kubernetes/admin.conf
kubeadm token list -o json |
	python3 -c 'import json, sys
decoder, text = json.JSONDecoder(), sys.stdin.read().strip()
while text:
    token, end = decoder.raw_decode(text)
    text = text[end:].strip()
    if token.get("description") == sys.argv[1]:
        print(token["token"].split(".")[0])' "q8s: $node" |
	while read -r token_id; do kubeadm token delete "$token_id"; done
