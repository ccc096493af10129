"""The mirrors' servers: nginx for packages, key and guest images, docker-registry, and dnsmasq for names.

Hosts find them by the public servers' names, over TLS as there, for which the name server gives their address; or by
that address itself, as at a site with mirrors of its own.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lab import images as guests
from lab import layout
from lab.mirrors import authority, debian, images, kubernetes, registry, signing
from lab.services import Program
from q8s_infra import versions

_KUBERNETES_FOLDER: Final = f"core:/stable:/v{versions.KUBERNETES.rpartition('.')[0]}/deb"
KUBERNETES_PATH: Final = f"kubernetes/{_KUBERNETES_FOLDER}"
"""Where the Kubernetes packages are for those who ask by address."""
IMAGES_PATH: Final = "images/cloud/q8s-lab"
"""Where the guest images are on Debian's server of cloud images."""
TLS_PORT: Final = 443
NAME_PORT: Final = 53
# Where Kubernetes' own address sends those who ask for packages.
_KUBERNETES_STORE: Final = "prod-cdn.packages.k8s.io"
_STORE: Final = "repositories/isv:/kubernetes:"
# What is served by address, beside a folder a name.
_SITE: Final = "site"

APT_PACKAGES: Final = (
    "nginx-light",
    "docker-registry",
    "dnsmasq-base",
    "openssl",
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


def _guest_images() -> tuple[Path, ...]:
    return tuple(artifact.path for artifact in guests.ARTIFACTS)


@dataclass(frozen=True)
class Mirrors:
    """The servers.

    Attributes:
        address: where all listen.
        port: of nginx.
        registry_port: of docker-registry.
        tls_port: of nginx, for those who ask by name.
        name_port: of dnsmasq.
        directory: for configuration, document root and nginx's temporary files; anew at each start.
        guest_images: directories that hold an image and its ``SHA256SUMS``; those that are not built are not served.
    """

    address: str = layout.MIRROR_ADDRESS
    port: int = layout.MIRROR_PORT
    registry_port: int = layout.REGISTRY_PORT
    tls_port: int = TLS_PORT
    name_port: int = NAME_PORT
    directory: Path = layout.RUN / "mirrors"
    guest_images: tuple[Path, ...] = field(default_factory=_guest_images)

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
            (half / _SITE / "images").mkdir(exist_ok=True)
            (half / _SITE / "images/SHA256SUMS").write_text(self._sums())
            half.rename(self.root)
        for name, text in self._configurations().items():
            (self.directory / name).write_text(text)

    def programs(self) -> tuple[Program, ...]:
        """What the supervisor runs, after :meth:`write`."""
        # Supervised, so in the foreground; by its own error log, or it would try the system's before it reads the file.
        nginx = ("nginx", "-e", "stderr", "-g", "daemon off;", "-c", self.directory / "nginx.conf")
        serve = ("docker-registry", "serve", self.directory / "registry.yml")
        names = ("dnsmasq", "--keep-in-foreground", f"--conf-file={self.directory / 'dnsmasq.conf'}")
        # With its digest among a program's variables, another configuration restarts the program.
        digests = {name: {"Q8S_CONFIGURATION": _digest(text)} for name, text in self._configurations().items()}
        return (
            Program("mirror", nginx, digests["nginx.conf"], port=(self.address, self.port), stop_signal="QUIT"),
            Program("registry", serve, digests["registry.yml"], port=(self.address, self.registry_port)),
            Program("names", names, digests["dnsmasq.conf"], port=(self.address, self.name_port)),
        )

    @property
    def root(self) -> Path:
        """The document root, named by what is in it."""
        return self.directory / f"root-{_digest(f'{self._links()}{self._sums()}')}"

    def _configurations(self) -> dict[str, str]:
        """The texts of the servers' configuration by file name."""
        stored = registry.configuration(images.IMAGES.path, self.address, self.registry_port, read_only=True)
        return {"nginx.conf": self._nginx(), "registry.yml": stored, "dnsmasq.conf": self._names()}

    def _sums(self) -> str:
        sums = [path / "SHA256SUMS" for path in self.guest_images]
        return "".join(path.read_text() for path in sums if path.exists())

    def _links(self) -> dict[str, Path]:
        key = signing.KEY.path / signing.PUBLIC_KEY
        archives = {name: debian.DEBIAN.path / name for name in (debian.MAIN, debian.SECURITY)}
        links = {
            **{f"{_SITE}/{name}": archive for name, archive in archives.items()},
            f"{_SITE}/{KUBERNETES_PATH}": kubernetes.PACKAGES.path,
            f"{_SITE}/keys/{signing.PUBLIC_KEY}": key,
            **{f"deb.debian.org/{name}": archive for name, archive in archives.items()},
        }
        packages = f"{_KUBERNETES_STORE}/{_STORE}/{_KUBERNETES_FOLDER}"
        links |= {f"{packages}/{each.name}": each for each in kubernetes.PACKAGES.path.glob("*")}
        links[f"{packages}/Release.key"] = key
        for folder in self.guest_images:
            for image in folder.glob("*.qcow2"):
                links |= {f"{_SITE}/images/{image.name}": image, f"cloud.debian.org/{IMAGES_PATH}/{image.name}": image}
        return links

    def _names(self) -> str:
        """A name server that knows the mirrors, asks nobody, and refuses at once what it does not know."""
        settings = [
            "no-resolv", "no-hosts", "bind-interfaces", "cache-size=0", "user=root", "pid-file=",
            "log-facility=-", f"listen-address={self.address}", f"port={self.name_port}",
            *(f"host-record={name},{self.address}" for name in authority.NAMES),
        ]  # fmt: skip
        return "".join(f"{setting}\n" for setting in settings)

    def _nginx(self) -> str:
        folder, certificates = self.directory, authority.AUTHORITIES.path
        temporary = "\n".join(
            f"    {kind}_temp_path {folder}/temporary/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        by_name = f"""listen {self.address}:{self.port};
        listen {self.address}:{self.tls_port} ssl;"""
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
    proxy_max_temp_file_size 0;
    ssl_certificate {certificates / authority.CERTIFICATE};
    ssl_certificate_key {certificates / authority.KEY};
    server {{
        listen {self.address}:{self.port} default_server;
        root {self.root}/{_SITE};
        autoindex on;
        location / {{
            limit_except GET {{ deny all; }}
        }}
    }}
    server {{
        {by_name}
        server_name {" ".join(authority.FILES)};
        root {self.root}/$host;
        location / {{
            limit_except GET {{ deny all; }}
        }}
    }}
    server {{
        {by_name}
        server_name {" ".join(authority.SENDING)};
        return 302 https://{_KUBERNETES_STORE}/{_STORE}$request_uri;
    }}
    server {{
        {by_name}
        server_name {" ".join(authority.REGISTRIES)};
        location / {{
            proxy_pass http://{self.address}:{self.registry_port};
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
