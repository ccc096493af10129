"""Read the tar archive that a machine sent: only documents that collect-logs.sh writes, within limits.

A host or guest may have been taken over: names, kinds and sizes in its archive are whatever it likes.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping
from typing import Final

ARCHIVE_BYTES: Final = 64 << 20
"""Of one machine's archive; all that comes after it is not read."""
_MEMBER_BYTES: Final = 8 << 20
_MEMBERS: Final = 300

_ALL: Final = frozenset({"facts", "system.txt", "journal.txt", "cloud-init.log", "cloud-init-output.log"})
_NODE: Final = _ALL | {"kubelet.txt", "containerd.txt"}
_DOCUMENTS: Final = {
    "guest": _NODE | {"q8s-join.log"},
    "control-plane": _NODE | {"steps.txt", "join.txt", "nodes.json", "pods.txt", "events.txt"},
    "host": _ALL
    | {"steps.txt", "virsh.txt", "domain.xml", "nat.txt", "balancer.txt", "guest-watch.txt", "join-guest.txt"},
}
"""What collect-logs.sh writes, by role."""
_HOST_LOG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,199}\.log")
"""Logs of steps, of libvirt's domains and of pods, which are named after them; a guest has none."""

LEFT_OUT: Final = "left-out"
"""The document that says that some were refused."""


def unpacked(archive: bytes, role: str) -> dict[str, str]:
    """Return the documents of a machine by name, and a note of those that were refused.

    Links, devices, sparse files, names that are none of ours, duplicates and whatever is over the limits are refused; a
    document that is too long ends at the limit (8 MiB). An archive that is damaged gives what stands before the damage.
    """
    documents: dict[str, str] = {}
    refused = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive[:ARCHIVE_BYTES]), mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.isdir() and name in {"", "."}:
                    continue
                if len(documents) == _MEMBERS or name in documents or not _is_ours(member, name, role):
                    refused += 1
                elif content := tar.extractfile(member):
                    documents[name] = content.read(_MEMBER_BYTES).decode(errors="replace")
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError):
        refused += 1
    if refused:
        documents[LEFT_OUT] = (
            f"{refused} file(s) in this machine's answer were left out: damaged, or of a name, kind or number that "
            "collect-logs.sh does not make\n"
        )
    return documents


def facts_of(documents: Mapping[str, str]) -> dict[str, str]:
    """Return a machine's facts; one line each, ended by a newline and nothing else, so that no value can add a fact."""
    lines = documents.get("facts", "").split("\n")
    return dict(line.partition("=")[::2] for line in lines if "=" in line)


def _is_ours(member: tarfile.TarInfo, name: str, role: str) -> bool:
    if not member.isreg() or member.issparse():
        return False
    return name in _DOCUMENTS[role] or (role != "guest" and _HOST_LOG.fullmatch(name) is not None)
