"""The mirrors' servers: nginx for packages, key and guest images, docker-registry for container images."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab import layout
from lab.images.guest import GUEST_IMAGES
from lab.mirrors import debian, images, kubernetes, registry, signing
from lab.services import Program
from q8s_infra import versions

KUBERNETES_PATH: Final = f"kubernetes/core:/stable:/v{versions.KUBERNETES.rpartition('.')[0]}/deb"
"""Where the Kubernetes packages are, below the server's root: the same as below the original's."""

APT_PACKAGES: Final = (
    "nginx-light",
    "docker-registry",
    "skopeo",
    "apt-utils",
    "gnupg",
    "dpkg-dev",
    "xz-utils",
    "gcc",
    "libc6-dev",
    "debian-archive-keyring",
)
"""What the machine needs to build and serve the mirrors, beside Go."""


def _guest_images() -> Mapping[str, Path]:
    return {architecture: artifact.path for architecture, artifact in GUEST_IMAGES.items()}


@dataclass(frozen=True)
class Mirrors:
    """The two servers.

    Attributes:
        address: where both listen.
        port: of nginx.
        registry_port: of docker-registry.
        directory: for configuration, document root and nginx's temporary files; anew at each start.
        guest_images: by architecture, directories that hold an image and its ``SHA256SUMS``; those that are not built
            are not served.
    """

    address: str = layout.MIRROR_ADDRESS
    port: int = layout.MIRROR_PORT
    registry_port: int = layout.REGISTRY_PORT
    directory: Path = layout.RUN / "mirrors"
    guest_images: Mapping[str, Path] = field(default_factory=_guest_images)

    def write(self) -> None:
        """Write the servers' configuration and assemble the document root of links to the artifacts.

        What is served stays as it is: other artifacts make another root, and with it another configuration.
        """
        (self.directory / "temporary").mkdir(parents=True, exist_ok=True)
        if not self.root.exists():
            shutil.rmtree(half := self.root.with_suffix(".new"), ignore_errors=True)
            for name, target in self._links().items():
                link = half / name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(target)
            (half / "images").mkdir(exist_ok=True)
            (half / "images/SHA256SUMS").write_text(self._sums())
            half.rename(self.root)
        for name, text in self._configurations().items():
            (self.directory / name).write_text(text)

    def programs(self) -> tuple[Program, Program]:
        """What the supervisor runs, after :meth:`write`."""
        # Supervised, so in the foreground; by its own error log, or it would try the system's before it reads the file.
        nginx = ("nginx", "-e", "stderr", "-g", "daemon off;", "-c", self.directory / "nginx.conf")
        serve = ("docker-registry", "serve", self.directory / "registry.yml")
        # With its digest among a program's variables, another configuration restarts the program.
        digests = {name: {"Q8S_CONFIGURATION": _digest(text)} for name, text in self._configurations().items()}
        return (
            Program("mirror", nginx, digests["nginx.conf"], port=(self.address, self.port), stop_signal="QUIT"),
            Program("registry", serve, digests["registry.yml"], port=(self.address, self.registry_port)),
        )

    @property
    def root(self) -> Path:
        """The document root, named by what is in it."""
        return self.directory / f"root-{_digest(f'{self._links()}{self._sums()}')}"

    def _configurations(self) -> dict[str, str]:
        """The texts of both servers' configuration by file name."""
        stored = registry.configuration(images.IMAGES.path, self.address, self.registry_port, read_only=True)
        return {"nginx.conf": self._nginx(), "registry.yml": stored}

    def _sums(self) -> str:
        sums = [path / "SHA256SUMS" for path in self.guest_images.values()]
        return "".join(path.read_text() for path in sums if path.exists())

    def _links(self) -> dict[str, Path]:
        links = {
            "debian": debian.DEBIAN.path,
            KUBERNETES_PATH: kubernetes.PACKAGES.path,
            f"keys/{signing.PUBLIC_KEY}": signing.KEY.path / signing.PUBLIC_KEY,
        }
        for folder in self.guest_images.values():
            links.update({f"images/{image.name}": image for image in folder.glob("*.qcow2")})
        return links

    def _nginx(self) -> str:
        folder = self.directory
        temporary = "\n".join(
            f"    {kind}_temp_path {folder}/temporary/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        # Root, because the cache is often below a home that only its owner may enter; it serves files and runs nothing.
        return f"""user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
{temporary}
    access_log /dev/stdout;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    server {{
        listen {self.address}:{self.port};
        root {self.root};
        autoindex on;
        location / {{
            limit_except GET {{ deny all; }}
        }}
    }}
}}
"""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
