#!/usr/bin/env bash
# The cluster's secrets, made once: an SSH key pair for its hosts and a seed for their host keys. Prints JSON.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ssh-keygen -q -t ed25519 -N '' -C q8s -f "$work/key"
python3 - "$work/key" <<'PYTHON'
import json, pathlib, secrets, sys
key = pathlib.Path(sys.argv[1])
print(json.dumps({
    "privateKey": key.read_text(),
    "publicKey": key.with_suffix(".pub").read_text().strip(),
    "hostKeySeed": secrets.token_hex(32),
}))
PYTHON
