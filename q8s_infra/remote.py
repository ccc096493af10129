"""The one wrapper of remote commands: a script of ``hostscripts/`` with its documents, run over SSH as root.

Scripts and documents travel on stdin as one archive, so that no command line, process listing or error message holds
more than names and plain values. The archive is the same for the same content: a second run changes nothing.
"""

from __future__ import annotations

import base64
import gzip
import io
import re
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_command import remote

from q8s_infra.defaults import STEP_TIMEOUT_SECONDS
from q8s_infra.render.templates import REPOSITORY

HOSTSCRIPTS = REPOSITORY / "hostscripts"
_SOURCED = re.compile(r"^\. \./([a-z-]+\.sh)$", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One thing to do on a host.

    Attributes:
        script: name of a file in ``hostscripts/``, without its suffix.
        node: the node that the step is for, as errors name it.
        layer: OpenStack, host, libvirt, guest or Kubernetes, as errors name it.
        arguments: named arguments; no secrets.
        limit: after so many seconds the step is ended.
    """

    script: str
    node: str
    layer: str
    arguments: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    limit: int = STEP_TIMEOUT_SECONDS

    def command(self) -> pulumi.Output[str]:
        """The command line: unpacks the archive into a directory of root's own and runs the script there."""
        words = {"step": self.script, "node": self.node, "layer": self.layer, **self.arguments}
        return _together(words).apply(lambda given: command_line(self.script, given, limit=self.limit))


def command_line(script: str, arguments: Mapping[str, str], *, limit: int = STEP_TIMEOUT_SECONDS) -> str:
    """The shell command that runs a step from the archive on its stdin, for so many seconds at most."""
    unpack = (
        'umask 077 && d=$(mktemp -d /run/q8s.XXXXXX) && trap "rm -rf $d" EXIT && cd "$d" && '
        f'base64 -d | tar -xz && timeout {limit} bash "./{script}.sh" "$@"'
    )
    return shlex.join(
        ["sudo", "-n", "sh", "-c", unpack, "q8s", *(f"{name}={value}" for name, value in arguments.items())]
    )


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


def scripts(*names: str) -> dict[str, str]:
    """Scripts by their files' names, with the libraries that they source: an edit of another one is not theirs."""
    found: dict[str, str] = {}
    wanted = [f"{name}.sh" for name in names]
    while wanted:
        file = wanted.pop()
        if file not in found:
            found[file] = (HOSTSCRIPTS / file).read_text()
            wanted += _SOURCED.findall(found[file])
    return found


def _together(inputs: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[dict[str, str]]:
    names = list(inputs)
    return pulumi.Output.all(*inputs.values()).apply(lambda values: dict(zip(names, values, strict=True)))


def secret(value: pulumi.Output[str]) -> pulumi.Output[str]:
    """The same value, marked secret."""
    marked: pulumi.Output[str] = pulumi.Output.secret(value)
    return marked


def run(
    name: str,
    connection: remote.ConnectionArgs,
    create: Step,
    *,
    files: Mapping[str, pulumi.Input[str]] | None = None,
    delete: Step | None = None,
    triggers: Sequence[pulumi.Input[object]] = (),
    prints_secret: bool = False,
    opts: pulumi.ResourceOptions | None = None,
) -> remote.Command:
    """Run a step on a host, again whenever its script or documents change.

    Args:
        name: the resource's name.
        connection: where to; its host key is pinned.
        create: the step; idempotent, since a changed document runs it again.
        files: documents by their name in the step's directory; may be secret.
        delete: the step that takes it back.
        triggers: when one of these changes, the old is taken back and the new is made.
        prints_secret: the step's result is a secret.
        opts: the resource's options.
    """
    texts = scripts(create.script, *([delete.script] if delete else []))
    stdin = _together(files or {}).apply(lambda given: archive({**texts, **given}))
    options = pulumi.ResourceOptions(
        additional_secret_outputs=["stdout"] if prints_secret else None, delete_before_replace=True
    )
    return remote.Command(
        name,
        connection=connection,
        create=create.command(),
        delete=delete.command() if delete else None,
        stdin=secret(stdin),
        triggers=list(triggers) or None,
        # Results go to stdout, which may be secret; progress and errors go to stderr.
        logging=remote.Logging.STDERR,
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions.merge(options, opts),
    )
