"""What of Pulumi is built from published Go modules: the CLI and the OpenStack plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lab.artifact import REPOSITORY, Artifact, Builder, cache_root
from lab.versions import PULUMI, PULUMI_OPENSTACK

if TYPE_CHECKING:
    from pathlib import Path

_CLI_SOURCE: Final = REPOSITORY / "lab" / "go" / "pulumi"
_OPENSTACK_SOURCE: Final = REPOSITORY / "lab" / "go" / "pulumi-resource-openstack"
_CLI_VERSION: Final = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"


def _go_build(builder: Builder, source: Path, package: str, target: str, *, variable: str, version: str) -> None:
    """Build one static executable; a Go toolchain older than ``go.mod`` wants says so itself."""
    builder.run(
        "go",
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        f"-s -w -X {variable}={version}",
        "-o",
        builder.out / target,
        package,
        cwd=source,
        env={"GOCACHE": str(cache_root() / "go-build"), "CGO_ENABLED": "0"},
    )


def _build_cli(builder: Builder) -> None:
    package = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
    _go_build(builder, _CLI_SOURCE, package, "pulumi", variable=_CLI_VERSION, version=f"v{PULUMI}")


def _build_openstack(builder: Builder) -> None:
    _go_build(
        builder, _OPENSTACK_SOURCE, ".", "pulumi-resource-openstack", variable="main.version", version=PULUMI_OPENSTACK
    )


CLI: Final = Artifact("pulumi", _build_cli, files=(_CLI_SOURCE,), pins=(PULUMI,))
OPENSTACK_PLUGIN: Final = Artifact(
    "pulumi-resource-openstack", _build_openstack, files=(_OPENSTACK_SOURCE,), pins=(PULUMI_OPENSTACK,)
)
ARTIFACTS: Final = (CLI, OPENSTACK_PLUGIN)
