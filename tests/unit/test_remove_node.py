"""A node leaves the cluster, and its etcd member with it, also where somebody has deleted the node before."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from q8s_infra.render.templates import REPOSITORY
from tests.unit.hostscript import stand_in

GONE, STAYS = "demo-control-plane-1", "demo-control-plane-0"
MEMBERS = "\n".join(
    f"{member}, started, {name}, https://{address}:2380, https://{address}:2379, false"
    for member, name, address in (("aa", STAYS, "10.0.0.1"), ("bb", GONE, "10.0.0.2"), ("cc", "other", "10.0.0.3"))
)
KUBECTL = f"""
echo "$*" >>calls
case "$*" in
*"get node"*) cat node.json ;;
*"member list"*) cat <<'EOT'
{MEMBERS}
EOT
;;
*"endpoint health"*) printf 'https://10.0.0.1:2379 is healthy\\nhttps://10.0.0.3:2379 is healthy\\n' ;;
esac
"""


def removed(folder: Path, node: str, found: str) -> list[str]:
    """What kubectl is asked when a node is removed that the API server has found, or not."""
    (folder / "node.json").write_text(found)
    stand_in(folder / "bin", "kubectl", KUBECTL)
    script = (REPOSITORY / "hostscripts/remove-node.sh").read_text()
    # In folders of the test's own: the log, and the administrator's kubeconfig.
    library = (REPOSITORY / "hostscripts/lib.sh").read_text().replace("/var/log/q8s", str(folder / "log"))
    library = library.replace("PATH=/usr/local/sbin:", f"PATH={folder / 'bin'}:/usr/local/sbin:")
    (folder / "admin.conf").touch()
    (folder / "lib.sh").write_text(library)
    (folder / "etcd.sh").write_text((REPOSITORY / "hostscripts/etcd.sh").read_text())
    (folder / "remove-node.sh").write_text(script.replace("/etc/kubernetes/admin.conf", str(folder / "admin.conf")))
    words = [
        "bash",
        "remove-node.sh",
        "step=remove-node",
        f"node={node}",
        "layer=Kubernetes",
        "grace=1",
        f"first={STAYS}",
    ]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize("found", ["", '{"labels": {"node-role.kubernetes.io/control-plane": ""}}'])
def test_a_control_plane_leaves_etcd_even_where_its_node_is_gone(found: str, tmp_path: Path) -> None:
    calls = removed(tmp_path, GONE, found)
    assert any(call.endswith("member remove bb") for call in calls)


@pytest.mark.parametrize("found", ["", '{"labels": {}}'])
def test_a_worker_takes_no_member_away(found: str, tmp_path: Path) -> None:
    calls = removed(tmp_path, "demo-arm-0", found)
    assert not any("member remove" in call for call in calls)
    assert any(call.startswith("delete node demo-arm-0") for call in calls) is bool(found)
