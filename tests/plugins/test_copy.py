"""Copies to a host: the command plugin under the real engine, against a real sshd."""

from __future__ import annotations

import os
import pwd
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from lab.pulumi.command.inputs import COPY, check
from lab.pulumi.wire import Archive, Asset, Secret, changes, from_struct, has_secrets, is_known, plain, to_struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugins.conftest import SshServer, Stack

# By the resource's name: the source, as Python text, and the remote path.
_Copies = Mapping[str, tuple[str, Path | str]]
_REPLACE = {"replace", "create-replacement", "delete-replaced"}


def _copies(server: SshServer, copies: _Copies, connection: str = "", more: str = "") -> str:
    """A program with one resource a copy."""
    program = dedent(f"""
        import pulumi
        from pulumi import FileArchive, FileAsset
        from pulumi_command import remote
        server = remote.ConnectionArgs(
            host="127.0.0.1", port={server.port}, user="root", private_key={server.private_key!r},
            host_key={server.host_key!r}, {connection})
        copies = {{}}
    """)
    for name, (source, path) in copies.items():
        arguments = f"{name!r}, connection=server, source={source}, remote_path={str(path)!r}, {more}"
        program += f"copies[{name!r}] = remote.CopyToRemote({arguments})\n"
    return program


def _tree(directory: Path) -> dict[str, str]:
    return {str(each.relative_to(directory)): each.read_text() for each in directory.rglob("*") if each.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    (directory / "deep" / "er").mkdir(parents=True)
    (directory / "a").write_text("a one")
    (directory / "deep" / "er" / "b").write_text("b one")
    return directory


@pytest.fixture
def host(tmp_path: Path) -> Path:
    directory = tmp_path / "host"
    directory.mkdir()
    return directory


_FILES = {"a": "a one", "deep/er/b": "b one"}


def test_life_of_a_copy(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    program = _copies(sshd, {"c": (f"FileArchive('{source}/')", host)})
    (host / "other").write_text("stays")
    (host / "a").write_text("something longer, from before")
    (host / "a").chmod(0o750)
    stack.up(program)
    assert _tree(host) == {**_FILES, "other": "stays"}
    assert (host / "a").stat().st_mode & 0o777 == 0o750
    assert stack.preview() == {}

    (source / "a").write_text("a two")
    assert stack.preview() == {"c": "update"}
    stack.up()
    assert _tree(host) == {**_FILES, "a": "a two", "other": "stays"}
    assert stack.preview() == {}

    (source / "a").unlink()
    assert stack.preview() == {"c": "update"}
    stack.up()
    assert (host / "a").exists()

    stack.run("destroy", "--yes")
    assert _tree(host) == {**_FILES, "a": "a two", "other": "stays"}


def test_where_it_ends(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    for name in ("file-in", "dir-in", "content-in"):
        (host / name).mkdir()
    (host / "file-over").write_text("something longer, from before")
    file, directory, content = (
        f"FileAsset('{source}/a')",
        f"FileArchive('{source}')",
        f"FileArchive('{source}/')",
    )
    stack.up(
        _copies(
            sshd,
            {
                "file-in": (file, host / "file-in"),
                "file-new": (file, host / "new" / "er" / "file"),
                "file-over": (file, host / "file-over"),
                "dir-in": (directory, host / "dir-in"),
                "dir-new": (directory, host / "new" / "dir"),
                "content-in": (content, host / "content-in"),
                "content-new": (content, host / "new" / "content"),
            },
        )
    )
    places = ["dir-in/source", "new/dir/source", "content-in", "new/content"]
    assert _tree(host) == {
        **dict.fromkeys(["file-in/a", "new/er/file", "file-over"], "a one"),
        **{f"{place}/{name}": text for place in places for name, text in _FILES.items()},
    }


@pytest.mark.parametrize("slash", ["", "/"])
def test_directory_does_not_take_a_files_place(
    stack: Stack, sshd: SshServer, source: Path, host: Path, slash: str
) -> None:
    (host / "taken").write_text("stays")
    output = stack.up(_copies(sshd, {"c": (f"FileArchive('{source}{slash}')", host / "taken")}), fails=True)
    assert str(host / "taken") in output
    assert _tree(host) == {"taken": "stays"}
    assert stack.preview() == {"c": "create"}


def test_relative_paths(stack: Stack, sshd: SshServer, home_path: str) -> None:
    """The source's is relative to the program, the remote one to the user's home."""
    (stack.directory / "near").write_text("by")
    stack.up(_copies(sshd, {"c": ("FileAsset('near')", f"{home_path}/file")}))
    assert (_home() / home_path / "file").read_text() == "by"


def _home() -> Path:
    return Path(pwd.getpwuid(os.getuid()).pw_dir)


@pytest.fixture
def home_path() -> Iterator[str]:
    name = f"copy-test-{uuid.uuid4()}"
    yield name
    (_home() / name / "file").unlink(missing_ok=True)
    (_home() / name).rmdir()


def test_contents_modes_and_links(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    large = os.urandom(9_000_001)
    (source / "large").write_bytes(large)
    (source / "empty").touch()
    (source / "a").chmod(0o700)
    (source / "link").symlink_to("a")
    stack.up(_copies(sshd, {"c": (f"FileArchive('{source}/')", host)}))
    assert (host / "large").read_bytes() == large
    assert (host / "empty").read_bytes() == b""
    assert not os.access(host / "a", os.X_OK)
    assert not (host / "link").is_symlink()
    assert (host / "link").read_text() == "a one"


def test_link_to_a_directory_fails(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    (source / "link").symlink_to("deep")
    stack.up(_copies(sshd, {"c": (f"FileArchive('{source}/')", host)}), fails=True)
    # In order of their names, and what was copied before the failure stays.
    assert (host / "a").read_text() == "a one"


def test_connection_change_updates_and_does_not_copy(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    copies: _Copies = {"c": (f"FileArchive('{source}/')", host)}
    stack.up(_copies(sshd, copies))
    (host / "a").unlink()
    changed = _copies(sshd, copies, "per_dial_timeout=5")
    assert stack.preview(changed) == {"c": "update"}
    stack.up(changed)
    assert not (host / "a").exists()
    assert stack.preview() == {}


def test_changed_trigger_replaces(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    copies: _Copies = {"c": (f"FileArchive('{source}/')", host)}
    stack.up(_copies(sshd, copies, more="triggers=[1]"))
    (host / "a").unlink()
    changed = _copies(sshd, copies, more="triggers=[2]")
    assert stack.preview(changed)["c"] in _REPLACE
    stack.up(changed)
    assert _tree(host) == _FILES


def test_content_counts_and_its_path_does_not(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    both = {"d": (f"FileArchive('{source}/')", host / "d"), "f": (f"FileAsset('{source}/a')", host / "f")}
    stack.up(_copies(sshd, both))
    moved = source.rename(source.with_name("moved"))
    both = {"d": (f"FileArchive('{moved}')", host / "d"), "f": (f"FileAsset('{moved}/a')", host / "f")}
    assert stack.preview(_copies(sshd, both)) == {}

    stack.up(_copies(sshd, {**both, "f": (both["f"][0], host / "elsewhere")}))
    assert (host / "elsewhere").read_text() == "a one"
    assert _tree(host / "d") == _FILES


def test_preview_connects_to_nothing(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    copies: _Copies = {"c": (f"FileArchive('{source}/')", host)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        elsewhere = f"port={listener.getsockname()[1]}"
        assert stack.preview(_copies(sshd, copies).replace(f"port={sshd.port}", elsewhere))["c"] == "create"
        stack.up(_copies(sshd, copies))
        (source / "a").write_text("a two")
        assert stack.preview(_copies(sshd, copies).replace(f"port={sshd.port}", elsewhere)) == {"c": "update"}
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert _tree(host) == _FILES


def test_failed_copy_names_the_host_and_is_done_again(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    program = _copies(sshd, {"c": (f"FileArchive('{source}/')", host)}, "dial_error_limit=1")
    unreachable = program.replace(f"port={sshd.port}", "port=1")
    assert "127.0.0.1" in stack.up(unreachable, fails=True)
    stack.up(program)
    (source / "a").write_text("a two")
    assert "127.0.0.1" in stack.up(unreachable, fails=True)
    assert _tree(host) == _FILES
    assert stack.preview(program) == {"c": "update"}
    stack.up()
    assert _tree(host)["a"] == "a two"


def test_time_limit_ends_the_dialling(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    limit = "opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create='2s'))"
    copies: _Copies = {"c": (f"FileArchive('{source}/')", host)}
    program = _copies(sshd, copies, "dial_error_limit=-1", limit)
    stack.up(program.replace(f"port={sshd.port}", "port=1"), fails=True)


def test_other_host_key_is_refused(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    program = _copies(sshd, {"c": (f"FileArchive('{source}/')", host)}, "dial_error_limit=1")
    assert "host key mismatch" in stack.up(program.replace(sshd.host_key, sshd.other_host_key), fails=True)
    assert _tree(host) == {}


def test_through_a_bastion(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    def proxy(port: int) -> str:
        return (
            f'dial_error_limit=0, proxy=remote.ProxyConnectionArgs(host="127.0.0.1", port={port}, user="root", '
            f"private_key={sshd.private_key!r}, host_key={sshd.host_key!r}, dial_error_limit=0)"
        )

    copies: _Copies = {"c": (f"FileArchive('{source}/')", host)}
    stack.up(_copies(sshd, copies, proxy(1)), fails=True)
    assert _tree(host) == {}
    stack.up(_copies(sshd, copies, proxy(sshd.port)))
    assert _tree(host) == _FILES


def test_private_key_is_nowhere(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    output = stack.up(_copies(sshd, {"c": (f"FileArchive('{source}/')", host)}))
    exported = stack.run("stack", "export")
    assert "CopyToRemote" in exported
    for text in (output, stack.state(), exported, stack.run("preview", "--diff")):
        assert sshd.private_key.splitlines()[2] not in text


def test_connections_do_not_stay_open(stack: Stack, sshd: SshServer, source: Path, host: Path) -> None:
    """Unlike a command's."""
    copies: _Copies = {f"c{each}": (f"FileArchive('{source}/')", host / str(each)) for each in range(4)}
    count = f"ss -Htn state established dport = :{sshd.port} | wc -l"
    # The last one may be closing still.
    count = f"for _ in $(seq 100); do [ $({count}) = 0 ] && break; sleep 0.1; done; {count}"
    program = _copies(sshd, copies)
    program += dedent(f"""
        from pulumi_command import local
        count = local.Command("count", create={count!r}, opts=pulumi.ResourceOptions(depends_on=[*copies.values()]))
        pulumi.export("open", count.stdout)
    """)
    stack.up(program)
    assert stack.outputs()["open"] == "0"


@pytest.mark.parametrize("kind", ["RemoteAsset('file://{}/a')", "AssetArchive({{'x': FileArchive('{}')}})"])
def test_neither_file_nor_directory_is_refused(
    stack: Stack, sshd: SshServer, source: Path, host: Path, kind: str
) -> None:
    program = _copies(sshd, {"c": (f"pulumi.{kind.format(source)}", host)})
    stack.up(program, fails=True)
    stack.write(program)
    stack.run("preview", fails=True)
    assert _tree(host) == {}


_PATH_ARCHIVE = Archive({"hash": "1", "path": "p/"})


def test_source_that_only_the_stand_in_refuses() -> None:
    def wrong(**inputs: object) -> list[tuple[str, str]]:
        return check(COPY, {"connection": {"host": "h"}, "remotePath": "/r", **inputs})[1]

    assert wrong(source=_PATH_ARCHIVE) == []
    ((path, reason),) = wrong(source=Asset({"hash": "1", "text": "t"}))
    assert path == "source"
    assert "the stand-in" in reason
    assert [path for path, _ in check(COPY, {})[1]] == ["connection", "source", "remotePath"]
    assert [path for path, _ in wrong(source="p/")] == ["source"]


def test_assets_survive_the_wire() -> None:
    file = Asset({"hash": "1", "path": "p"})
    values = {
        "file": file,
        "text": Secret(Asset({"hash": "2", "text": ""})),
        "several": [Archive({"hash": "3", "assets": {"in": _PATH_ARCHIVE, "uri": Asset({"hash": "4", "uri": "u"})}})],
    }
    back = from_struct(to_struct(values))
    assert back == values
    assert back["file"].fields == file.fields
    assert back["several"][0].fields["assets"]["in"].path == "p/"
    assert plain(back["text"]).fields == {"hash": "2", "text": ""}
    assert has_secrets(back)
    assert is_known(back)


def test_same_hash_is_no_change() -> None:
    old = {"moved": _PATH_ARCHIVE, "edited": Asset({"hash": "1", "path": "p"}), "kind": _PATH_ARCHIVE}
    new = {
        "moved": Archive({"hash": "1"}),
        "edited": Asset({"hash": "2", "path": "p"}),
        "kind": Asset({"hash": "1", "path": "p/"}),
    }
    assert changes(old, new) == {"edited": "update", "kind": "update"}
    assert changes({"s": Secret(_PATH_ARCHIVE)}, {"s": Secret(Archive({"hash": "1"}))}) == {}
    assert Asset({"path": "p"}) != Asset({"path": "p"})
