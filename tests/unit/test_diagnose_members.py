"""A machine's archive may be anything: only documents of our own get through."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from q8s_infra.diagnose import members
from q8s_infra.diagnose.members import LEFT_OUT, facts_of, unpacked
from q8s_infra.printable import printable
from q8s_infra.remote import HOSTSCRIPTS


def packed(*entries: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return raw.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


NAMES = [
    "../journal.txt", "/etc/passwd", "/journal.txt", "a/journal.txt", "./../journal.txt", "journal.txt/../x", "..", "",
    "journal\x1b[2J.txt", "jour\nnal.log", "\u202ejournal.txt", ".log", "-x.log", "a" * 300 + ".log", "passwd",
    LEFT_OUT,
]  # fmt: skip


@pytest.mark.parametrize("role", ["host", "guest", "control-plane"])
@pytest.mark.parametrize("name", NAMES)
def test_foreign_name_is_refused(name: str, role: str) -> None:
    found = unpacked(packed((name, b"evil"), ("./journal.txt", b"good")), role)
    assert {key: text for key, text in found.items() if key != LEFT_OUT} == {"journal.txt": "good"}
    assert "1 file(s)" in found[LEFT_OUT]
    assert "evil" not in str(found)


def test_guest_cannot_name_its_own_logs() -> None:
    archive = packed(("prepare-worker.log", b"x"), ("kubelet.txt", b"k"))
    assert "prepare-worker.log" not in unpacked(archive, "guest")
    assert "prepare-worker.log" in unpacked(archive, "host")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_what_is_no_file_is_refused(kind: bytes) -> None:
    archive = packed(special("journal.txt", kind, "/etc/shadow"), ("system.txt", b"s"))
    assert set(unpacked(archive, "guest")) == {"system.txt", LEFT_OUT}


def test_duplicate_is_refused() -> None:
    assert unpacked(packed(("facts", b"a=1\n"), ("./facts", b"a=2\n")), "guest")["facts"] == "a=1\n"


def test_long_document_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_MEMBER_BYTES", 10)
    found = unpacked(packed(("journal.txt", b"x" * 5000), ("system.txt", b"s")), "guest")
    assert found == {"journal.txt": "x" * 10, "system.txt": "s"}


def test_number_of_documents_is_limited() -> None:
    found = unpacked(packed(*((f"{number}.log", b"x") for number in range(400))), "host")
    assert len(found) == 301
    assert "100 file(s)" in found[LEFT_OUT]


@pytest.mark.parametrize(
    "damaged",
    [lambda raw: raw[:700], lambda raw: raw[:512] + b"\xff" * 512, lambda _: b"no archive", lambda _: b""],
)
def test_damaged_archive_is_no_error(damaged: Callable[[bytes], bytes]) -> None:
    assert set(unpacked(damaged(packed(("journal.txt", b"y" * 2000), ("facts", b"a=1"))), "host")) <= {
        "journal.txt",
        LEFT_OUT,
    }


def test_size_that_is_claimed_is_not_reserved() -> None:
    info = tarfile.TarInfo("journal.txt")
    info.size = 1 << 40
    found = unpacked(info.tobuf() + b"short", "host")
    assert len(found.get("journal.txt", "")) < 1000


def test_console_cannot_add_a_fact() -> None:
    text = "console_says=x\x0bdomain=running\x85guest=up\u2028full=1%\rnetwork=yes\ndomain=shut off\n"
    assert facts_of({"facts": printable(text)})["domain"] == "shut off"
    assert set(facts_of({"facts": printable(text)})) == {"console_says", "domain"}


@pytest.mark.parametrize("role", ["host", "guest", "control-plane"])
def test_all_that_the_script_collects_gets_through(role: str) -> None:
    """The real script, on this machine: what is not there is no error."""
    script = (HOSTSCRIPTS / "collect-logs.sh").read_bytes()
    done = subprocess.run(["bash", "-s", role], input=script, capture_output=True, check=True, timeout=300)
    found = unpacked(done.stdout, role)
    assert LEFT_OUT not in found
    assert {"system.txt", "journal.txt"} <= set(found)
    assert "full" in facts_of(found)


def test_document_over_the_limit_keeps_its_last_lines(tmp_path: Path) -> None:
    script = (HOSTSCRIPTS / "collect-logs.sh").read_text()
    function = script[script.index("last() {") : script.index("keep() {")]
    command = f"most_bytes=10\n{function}printf 'one two\\nthree\\nfour\\n' | last out"
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "out").read_text() == "four\n"
