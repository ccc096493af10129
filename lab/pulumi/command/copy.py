"""Copy a local file or directory to a host over SFTP.

Where it ends follows from the trailing slash of the source and from what the remote path is before, as in the original:

======  ==============  ========================  =================
source  a directory     nothing (parents made)    a file
======  ==============  ========================  =================
file    path/file       path                      path, overwritten
dir     path/dir        path/dir                  error
dir/    path            path                      error
======  ==============  ========================  =================

Modes, owners and times are not copied, links are followed, and one to a directory is an error.
"""

from __future__ import annotations

import os
import posixpath
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncssh

from lab.pulumi.command import ssh
from lab.pulumi.plugin import PluginError

if TYPE_CHECKING:
    from lab.pulumi.command.output import OnLine

_CHUNK: Final = 4 << 20


async def copy(inputs: dict[str, Any], *, pause: ssh.Pause, status: OnLine) -> None:
    """Copy ``source`` to ``remotePath``; without a limit, see `lab.pulumi.command.ssh`.

    Args:
        inputs: the resource's inputs (``connection``, ``source``, ``remotePath``), known and plain.
        pause: sleeps between two dials for so many seconds; raises PluginError to end them.
        status: takes lines on what the dialling does.

    Raises:
        PluginError: no connection, or a failed copy (what it wrote stays); names the host.
    """
    source, destination = inputs["source"].path, inputs["remotePath"]
    connection = await ssh.connect(inputs["connection"], pause, status)
    try:
        async with connection.start_sftp_client() as sftp:
            await _copy(sftp, source, destination)
    except (OSError, asyncssh.Error) as error:
        host = inputs["connection"]["host"]
        raise PluginError(f"{host}: copying {source} to {destination}: {ssh.explain(error)}") from error
    finally:
        connection.close()


async def _copy(sftp: asyncssh.SFTPClient, source: str, destination: str) -> None:
    # Path would take an empty path, of which the original says that it is not there, for the current directory.
    if stat.S_ISDIR(os.stat(source).st_mode):  # noqa: PTH116
        await _make_directories(sftp, destination)
        # The base name of "dir/" is empty: its content goes to the destination itself.
        await _copy_directory(sftp, Path(source), _join(destination, posixpath.basename(source)))
        return
    is_directory = await _is_directory(sftp, destination)
    if is_directory:
        destination = _join(destination, posixpath.basename(source))
    elif is_directory is None:
        await _make_directories(sftp, posixpath.dirname(destination) or ".")
    await _copy_file(sftp, Path(source), destination)


async def _copy_directory(sftp: asyncssh.SFTPClient, source: Path, destination: str) -> None:
    await _make_directory(sftp, destination)
    for entry in sorted(source.iterdir()):
        copy_entry = _copy_directory if entry.is_dir() and not entry.is_symlink() else _copy_file
        await copy_entry(sftp, entry, _join(destination, entry.name))


async def _copy_file(sftp: asyncssh.SFTPClient, source: Path, destination: str) -> None:
    with source.open("rb") as local:
        try:
            async with sftp.open(destination, "w+b") as remote:
                while chunk := local.read(_CHUNK):
                    await remote.write(chunk)
        except asyncssh.SFTPError as error:
            raise OSError(f"{destination}: {ssh.explain(error)}") from error


async def _make_directories(sftp: asyncssh.SFTPClient, path: str) -> None:
    """Make a directory and its parents, unless they are there; another copy may make them at the same time."""
    parent = posixpath.dirname(path.rstrip("/"))
    if parent and await _is_directory(sftp, path) is None:
        await _make_directories(sftp, parent)
    try:
        await _make_directory(sftp, path)
    except OSError:
        if not await _is_directory(sftp, path):
            raise


async def _make_directory(sftp: asyncssh.SFTPClient, path: str) -> None:
    is_directory = await _is_directory(sftp, path)
    if is_directory is False:
        raise NotADirectoryError(f"{path}: exists and is not a directory")
    if is_directory is None:
        try:
            await sftp.mkdir(path)
        except asyncssh.SFTPError as error:
            raise OSError(f"{path}: {ssh.explain(error)}") from error


async def _is_directory(sftp: asyncssh.SFTPClient, path: str) -> bool | None:
    """What a remote path is, links followed; None where nothing is."""
    try:
        return (await sftp.stat(path)).type == asyncssh.FILEXFER_TYPE_DIRECTORY
    except asyncssh.SFTPNoSuchFile:
        return None


def _join(directory: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(directory, name))
