from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
from base64 import b64decode
from pathlib import Path

import pytest

from q8s_infra.remote import HOSTSCRIPTS, Step, archive, archive_of_one, command_line

ALONE = {
    "q8s-forward",
    "q8s-guest-watch",
    "q8s-metadata",
    "collect-logs",
    "run-step",
    "step-unit",
    "q8s-join",
    "upgrade-guest",
    "set-guest-keys",
}
"""Scripts that are no steps, and need no libraries."""

STEPS = sorted(
    path.stem for path in HOSTSCRIPTS.glob("*.sh") if path.read_text().startswith("#!") and path.stem not in ALONE
)


def test_an_archive_depends_on_content_alone() -> None:
    assert archive({"b": "2", "a/c": "1"}) == archive({"a/c": "1", "b": "2"})
    assert archive({"a": "1"}) != archive({"a": "2"})


def test_an_archive_holds_every_file_for_root_alone() -> None:
    with tarfile.open(fileobj=io.BytesIO(b64decode(archive({"a/b": "x", "c": "y"}))), mode="r:gz") as tar:
        assert {entry.name: entry.mode for entry in tar} == {"a/b": 0o600, "c": 0o600}


def test_no_line_of_an_archive_is_long() -> None:
    assert max(len(line) for line in archive({"a": "x" * 200_000, "b": str(list(range(9999)))}).splitlines()) <= 76


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_000])
def test_an_archive_of_one_file_in_pieces_holds_it(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    pieces = [content[start : min(start + 1000, size)] for start in range(0, size, 1000)]
    packed = subprocess.run(
        ["base64", "-d"], input=b"".join(archive_of_one("data", size, pieces)), capture_output=True, check=True
    )
    subprocess.run(["tar", "-xzC", tmp_path], input=packed.stdout, check=True)
    assert (tmp_path / "data").read_bytes() == content[:size]
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o600


def test_an_archive_of_a_file_that_became_shorter_is_not_whole() -> None:
    with pytest.raises(ValueError, match="has 3 bytes instead of 4"):
        list(archive_of_one("data", 4, [b"abc"]))


def test_a_command_line_is_that_of_the_runner_with_plain_words() -> None:
    step = Step("prepare-worker", "demo-x86-0", "host", limit=60)
    words = shlex.split(command_line("demo-x86-0-host", step, {"image_url": "http://a b/$(c)"}))
    assert words[:3] == ["sudo", "-n", "bash"]
    assert words[3].endswith("/run-step.sh")
    assert words[4:] == ["demo-x86-0-host", "prepare-worker", "60", "demo-x86-0", "host", "image_url=http://a b/$(c)"]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_has_its_libraries_beside_it(step: str) -> None:
    sourced = {
        line.split("./")[1] for line in (HOSTSCRIPTS / f"{step}.sh").read_text().splitlines() if line.startswith(". ./")
    }
    assert "lib.sh" in sourced
    assert all((HOSTSCRIPTS / library).exists() for library in sourced)


@pytest.mark.parametrize("script", sorted(ALONE))
def test_a_script_that_goes_alone_sources_nothing(script: str) -> None:
    assert ". ./" not in (HOSTSCRIPTS / f"{script}.sh").read_text()


def run_lib(tmp_path: Path, body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    library = (HOSTSCRIPTS / "lib.sh").read_text().replace("/var/log/q8s", str(tmp_path / "log"))
    (tmp_path / "lib.sh").write_text(library)
    (tmp_path / "step.sh").write_text(f". ./lib.sh\n{body}")
    return subprocess.run(["bash", "./step.sh", *arguments], cwd=tmp_path, text=True, capture_output=True, check=False)


NAMED = ("step=try", "node=demo-x86-0", "layer=libvirt")


def test_a_failure_names_node_layer_step_command_and_log(tmp_path: Path) -> None:
    done = run_lib(tmp_path, "echo before\nls /does-not-exist\necho after\n", *NAMED)
    assert done.returncode == 2
    for part in ("node demo-x86-0", "layer libvirt", "step try", "exit 2", "ls /does-not-exist", "try.log", "before"):
        assert part in done.stderr
    assert "after" not in (tmp_path / "log" / "try.log").read_text()


def test_progress_is_short_and_output_goes_to_the_log(tmp_path: Path) -> None:
    done = run_lib(tmp_path, "echo noise\nprogress halfway\n", *NAMED)
    assert (done.stdout, done.stderr) == ("", "demo-x86-0: halfway\n")
    assert "noise" in (tmp_path / "log" / "try.log").read_text()


def test_fail_says_what_can_be_done(tmp_path: Path) -> None:
    done = run_lib(tmp_path, "fail is the mirror up?\n", *NAMED)
    assert done.returncode == 1
    assert "layer libvirt, step try: is the mirror up?" in done.stderr


def test_an_argument_without_a_name_is_refused(tmp_path: Path) -> None:
    done = run_lib(tmp_path, "", *NAMED, "oops")
    assert done.returncode == 2
    assert "not a named argument: oops" in done.stderr


@pytest.mark.parametrize(("served", "expected"), [("good", 0), ("evil", 1)])
def test_a_download_is_kept_only_with_its_checksum(tmp_path: Path, served: str, expected: int) -> None:
    (tmp_path / "origin").write_text(served)
    good = "770e607624d689265ca6c44884d0807d9b054d23c473c106c72be9de08b7376c"
    done = run_lib(tmp_path, f"fetch file://{tmp_path}/origin {tmp_path}/got {good}\n", *NAMED)
    assert done.returncode == expected
    assert (tmp_path / "got").exists() == (expected == 0)
    if expected:
        assert "wrong checksum" in done.stderr
