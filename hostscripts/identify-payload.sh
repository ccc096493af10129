#!/usr/bin/env bash
# Says what workers' hosts check by that which build-payload.sh has made: a checksum of each file, in JSON.
# Arguments: architecture, image, payload_key
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

ours=/var/lib/q8s/artifacts/${architecture:?}
python3 - "$ours/image-${image:?}.qcow2" "$ours/payload-${payload_key:?}.qcow2" "$ours/kubernetes-$payload_key.tar" >&3 <<'PYTHON'
import json, pathlib, sys

sums = [pathlib.Path(f"{file}.sha256").read_text().split()[0] for file in sys.argv[1:]]
print(json.dumps(dict(zip(("image", "payload", "kubernetes"), sums, strict=True))))
PYTHON
