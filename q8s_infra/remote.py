"""The one wrapper of remote commands: a script of ``hostscripts/`` with its documents, run over SSH as root.

The scripts are copied to a host once; documents travel on stdin as one archive, so that no command line, process
listing or error message holds more than names and plain values. The archive is the same for the same content: a second
run changes nothing.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import os
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_command import remote

from q8s_infra.defaults import STEP_TIMEOUT_SECONDS
from q8s_infra.render.templates import REPOSITORY

HOSTSCRIPTS = REPOSITORY / "hostscripts"
FOLDER = ".q8s"
"""Where the scripts are on a host, below the home of the user that logs in."""


@dataclass(frozen=True)
class Step:
    """One thing to do on a host.

    Attributes:
        script: name of a file in ``hostscripts/``, without its suffix.
        node: the node that the step is for, as errors name it.
        layer: OpenStack, host, payload, libvirt, guest or Kubernetes, as errors name it.
        arguments: named arguments; no secrets.
        limit: after so many seconds the step is ended.
    """

    script: str
    node: str
    layer: str
    arguments: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    limit: int = STEP_TIMEOUT_SECONDS

    def command(self, key: str) -> pulumi.Output[str]:
        """The command line; the key tells the steps of one resource from all others on the host."""
        return _together(self.arguments).apply(lambda given: command_line(key, self, given))


def command_line(key: str, step: Step, arguments: Mapping[str, str]) -> str:
    """The shell command that runs a step with the documents on its stdin, or follows it where it runs already."""
    named = [f"{name}={value}" for name, value in arguments.items()]
    runner = ["sudo", "-n", "bash", f"{FOLDER}/run-step.sh"]
    return shlex.join([*runner, key, step.script, str(step.limit), step.node, step.layer, *named])


def archive(files: Mapping[str, str]) -> str:
    """The files as base64 of a tar.gz that depends on nothing but names and contents."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            data = content.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
    return base64.encodebytes(gzip.compress(raw.getvalue(), mtime=0)).decode()


def archive_of_one(name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
    """An archive with one large file, piece by piece: no more of it is in memory than a piece of its content.

    Args:
        name: of the file.
        size: of its content, in bytes.
        content: its pieces.

    Raises:
        ValueError: the content has another size.
    """
    raw = io.BytesIO()
    # It is compressed already.
    with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=0, mtime=0) as packed:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        packed.write(entry.tobuf(tarfile.GNU_FORMAT))
        left = size
        for piece in content:
            left -= len(piece)
            packed.write(piece)
            yield _encoded(raw)
        if left:
            raise ValueError(f"{name} has {size - left} bytes instead of {size}")
        # As tar(5) has it: whole blocks, and two empty ones at the end.
        packed.write(bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE))
    yield binascii.b2a_base64(raw.getvalue())


def _encoded(raw: io.BytesIO) -> bytes:
    """Take what makes base64 without padding."""
    data = raw.getvalue()
    whole = len(data) - len(data) % 3
    raw.seek(0)
    raw.truncate()
    raw.write(data[whole:])
    return binascii.b2a_base64(data[:whole])


@dataclass(frozen=True)
class Shell:
    """Where steps run.

    Attributes:
        connection: SSH to the host; its host key is pinned.
        instance: the host itself; with its end, nothing has to be taken back on it.
        scripts: they are there.
    """

    connection: remote.ConnectionArgs
    instance: pulumi.CustomResource
    scripts: pulumi.Resource


def shell(
    name: str, connection: remote.ConnectionArgs, instance: pulumi.CustomResource, *, parent: pulumi.Resource
) -> Shell:
    """Copy the scripts to a host; those of another release take their place, and no step runs again for it."""
    copied = remote.CopyToRemote(
        f"{name}-scripts",
        connection=connection,
        # The folder's content: Pulumi keeps its hash and its path, which is the same in every checkout.
        source=pulumi.FileArchive(f"{os.path.relpath(HOSTSCRIPTS)}/"),
        remote_path=FOLDER,
        triggers=[instance.id],
        opts=pulumi.ResourceOptions(parent=parent, deleted_with=instance, delete_before_replace=True),
    )
    return Shell(connection, instance, copied)


def _together(inputs: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[dict[str, str]]:
    names = list(inputs)
    return pulumi.Output.all(*inputs.values()).apply(lambda values: dict(zip(names, values, strict=True)))


def secret(value: pulumi.Output[str]) -> pulumi.Output[str]:
    """The same value, marked secret."""
    marked: pulumi.Output[str] = pulumi.Output.secret(value)
    return marked


def run(
    name: str,
    where: Shell,
    create: Step,
    *,
    files: Mapping[str, pulumi.Input[str]] | None = None,
    update: Step | None = None,
    delete: Step | None = None,
    triggers: Sequence[pulumi.Input[object]] = (),
    prints_secret: bool = False,
    opts: pulumi.ResourceOptions | None = None,
) -> remote.Command:
    """Run a step on a host, again whenever its arguments or documents change.

    Args:
        name: the resource's name.
        where: the host.
        create: the step; idempotent, since a changed document runs it again.
        files: documents by their name in the step's directory; may be secret.
        update: the step that runs instead where only arguments or documents have changed.
        delete: the step that takes it back.
        triggers: when one of these changes, the old is taken back and the new is made.
        prints_secret: the step's result is a secret.
        opts: the resource's options.
    """
    options = pulumi.ResourceOptions(
        depends_on=[where.scripts],
        deleted_with=where.instance,
        additional_secret_outputs=["stdout"] if prints_secret else None,
        delete_before_replace=True,
    )
    return remote.Command(
        name,
        connection=where.connection,
        create=create.command(name),
        update=update.command(name) if update else None,
        delete=delete.command(name) if delete else None,
        stdin=secret(_together(files or {}).apply(archive)),
        triggers=list(triggers) or None,
        # Results go to stdout, which may be secret; progress and errors go to stderr.
        logging=remote.Logging.STDERR,
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions.merge(options, opts),
    )
