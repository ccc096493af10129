"""The API server's certificate is for every name that it is reached by, also those that came later."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from q8s_infra.render.kubeadm import init_configuration
from q8s_infra.render.templates import REPOSITORY
from q8s_infra.spec import validated
from tests.unit.hostscript import step
from tests.unit.specs import GOOD

KEPT, LATER, NODE = "10.254.1.7", "203.0.113.9", "good-control-plane-0"

# It writes where its configuration says, and signs by the authority that is there.
KUBEADM = """
kubeadm() {
    local folder
    folder=$(sed -n 's/^certificatesDir: //p' "${@: -1}")
    echo "kubeadm ${*:1:$# - 1}"
    echo "there meanwhile: $(cd "$kubernetes_pki" && ls apiserver.crt 2>/dev/null)"
    printf 'of %s' "$(cat "$folder/ca.crt")" >"$folder/apiserver.crt"
    cp "$folder/ca.key" "$folder/apiserver.key"
}
restarted() { echo "restarted $1"; }
progress() { echo "$*"; }
"""


def certificate(folder: Path, *names: str) -> None:
    """A certificate for these names."""
    given = ",".join(f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in names)
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    files = ["-keyout", folder / "apiserver.key", "-out", folder / "apiserver.crt"]
    subprocess.run(
        [*words, "-subj", "/CN=api", "-addext", f"subjectAltName={given}", *files], check=True, capture_output=True
    )


@pytest.mark.parametrize(
    ("had", "missing"),
    [
        ((KEPT, LATER, NODE), ""),
        ((KEPT, LATER, NODE, "10.96.0.1"), ""),
        ((KEPT, NODE), LATER),
        ((KEPT, LATER, "good-control-plane-00"), NODE),
        ((KEPT,), f"{LATER} {NODE}"),
        # Somebody has taken it away.
        ((), f"{KEPT} {LATER} {NODE}"),
    ],
)
def test_what_a_certificate_lacks_is_a_reason_for_another(tmp_path: Path, had: tuple[str, ...], missing: str) -> None:
    if had:
        certificate(tmp_path, *had)
    for file in ("ca.crt", "ca.key"):
        (tmp_path / file).write_text(file)
    text = init_configuration(validated(GOOD), node=NODE, address=KEPT, names=[NODE, LATER])
    (tmp_path / "kubeadm.yaml").write_text(text)
    (tmp_path / "told.sh").write_text(KUBEADM)
    sourced = f"source {REPOSITORY}/hostscripts/static-pods.sh; kubernetes_pki={tmp_path}; source {tmp_path}/told.sh"
    done = step(tmp_path, "eval", f"{sourced}; api_certificate $PWD/kubeadm.yaml")
    assert done.returncode == 0, done.stderr
    expected = [
        f"a certificate for {missing}, too",
        "kubeadm init phase certs apiserver --config",
        f"there meanwhile: {'apiserver.crt' if had else ''}",
        "restarted kube-apiserver",
    ]
    assert done.stdout.splitlines() == (expected if missing else [])
    assert ((tmp_path / "apiserver.crt").read_text() == "of ca.crt") == bool(missing)
    assert not [*tmp_path.glob("certificates.*")]
