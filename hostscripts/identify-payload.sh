#!/usr/bin/env bash
# Says what workers' hosts check by that which build-payload.sh has made: a checksum of each file, in JSON. Drops what was before.
# Arguments: architecture, image, payload_key
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

ours=/var/lib/q8s/artifacts/${architecture:?}
files=("image-${image:?}.qcow2" "payload-${payload_key:?}.qcow2" "kubernetes-$payload_key.tar")
# The former ones are not asked for any more; where new ones could not be made, they were until now.
find "$ours" -type f ! -name "${files[0]}*" ! -name "${files[1]}*" ! -name "${files[2]}*" -delete
python3 - "${files[@]/#/$ours/}" >&3 <<'PYTHON'
import json, pathlib, sys

sums = [pathlib.Path(f"{file}.sha256").read_text().split()[0] for file in sys.argv[1:]]
print(json.dumps(dict(zip(("image", "payload", "kubernetes"), sums, strict=True))))
PYTHON
