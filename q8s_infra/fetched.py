"""What a stack fetches, from where, and what it is checked by: the list for whoever fills a mirror. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from q8s_infra import versions
from q8s_infra.arch import ARCHITECTURES
from q8s_infra.plan import ClusterPlan
from q8s_infra.render.payload import payload
from q8s_infra.render.sources import archive_keyring, image_files
from q8s_infra.spec import AptSource, GuestImage
from q8s_infra.spec.registries import KUBERNETES

HOSTS: Final = "the hosts' own"
"""The architecture of hosts, which their image in the cloud has and no description says."""

CONTROL_PLANE_PACKAGES: Final = ("containerd", "runc", "conntrack", "ethtool", "socat", "iptables")
"""Packages of control planes, as ``hostscripts/prepare-control-plane.sh`` installs them."""

KUBERNETES_PACKAGES: Final = ("kubelet", "kubeadm", "kubectl", "kubernetes-cni")
"""Packages of control planes from Kubernetes' repository, as the same script installs them; kubernetes-cni by none."""

PAYLOAD_PACKAGES: Final = ("qemu-utils", "e2fsprogs")
"""Packages of the control plane that prepares what guests are made from, as ``hostscripts/build-payload.sh`` does."""

GPG, GPGV, CA_CERTIFICATES = "gpg", "gpgv", "ca-certificates"
"""Packages of hosts whose image lacks them: for keys known by fingerprint, images known by signature, the site's CA."""

_IMAGE_OWN: Final = "the host image's own package sources"


@dataclass(frozen=True)
class Fetched:
    """One thing that is fetched.

    Attributes:
        kind: package repository, key, container image, guest image, checksums or signature.
        used_by: which machines.
        url: where it is, after ``sources``; of a container image its registry, or that one's mirror.
        checked_by: what would tell that it is another.
        image: of a container image its reference.
        suites: of a package repository.
        components: of a package repository.
        architectures: Debian's names of those of a repository, the OCI's platforms of a container image.
        packages: what is taken from a repository.
        dependencies: whether what the packages depend on is taken, too.
    """

    kind: str
    used_by: str
    url: str
    checked_by: str
    image: str = ""
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    dependencies: bool = False

    def __str__(self) -> str:
        lines = {
            "for": self.used_by,
            "from": self.url if self.image else "",
            "suites": " ".join(self.suites),
            "components": " ".join(self.components),
            "platforms" if self.image else "architectures": ", ".join(self.architectures),
            "packages": " ".join(self.packages) + (" (and what they depend on)" if self.dependencies else ""),
            "checked by": self.checked_by,
        }
        told = "".join(f"\n  {name}: {value}" for name, value in lines.items() if value)
        return f"{self.kind}: {self.image or self.url}{told}"


def fetched(planned: ClusterPlan) -> tuple[Fetched, ...]:
    """All that a stack fetches; each thing once for each use."""
    return tuple(dict.fromkeys((*_packages(planned), *_container_images(planned), *_guest_images(planned))))


def notes(planned: ClusterPlan) -> tuple[str, ...]:
    """What the list can't say exactly."""
    version = planned.spec.kubernetes.version
    if version == versions.KUBERNETES:
        return ()
    return (
        f"etcd, coredns and pause are those of Kubernetes {versions.KUBERNETES}, the default; "
        f"`kubeadm config images list --kubernetes-version v{version}` of kubeadm {version} says which it takes",
    )


def document(planned: ClusterPlan) -> dict[str, Any]:
    """The same for machines: fields that a thing does not have are left out."""
    things = [{name: value for name, value in asdict(each).items() if value} for each in fetched(planned)]
    return {"fetched": things, "notes": list(notes(planned))}


def _packages(planned: ClusterPlan) -> Iterator[Fetched]:
    spec, guests = planned.spec, planned.architectures
    kubernetes = spec.sources.kubernetes_apt_of(spec.kubernetes.version)
    images = [spec.guest_image(each.name) for each in guests]
    of_guests = {each.name: spec.sources.guest_apt_of(each.name) for each in guests}
    keyrings = {
        archive_keyring(source)[0] for sources in of_guests.values() for source in sources if not source.key_url
    }
    for_images = {content.split()[0] for image in images for content in image_files(image).values()}
    keyed = [kubernetes, *spec.sources.host_apt, *(source for sources in of_guests.values() for source in sources)]
    hosts = [*CONTROL_PLANE_PACKAGES, *PAYLOAD_PACKAGES, *(name for each in guests for name in each.host_packages)]
    hosts += [GPG] if any(source.key_fingerprints for source in keyed) else []
    hosts += [CA_CERTIFICATES] if spec.sources.ca_certificates else []
    hosts += [*sorted(keyrings | for_images), *([GPGV] if for_images else [])]
    wanted = tuple(dict.fromkeys(hosts))
    for source in spec.sources.host_apt:
        yield from _repository(source, "hosts", HOSTS, wanted, "the host image's own keys", dependencies=True)
    if not spec.sources.host_apt:
        yield Fetched(
            "package repository",
            "hosts",
            _IMAGE_OWN,
            "its signature, by the host image's own keys",
            architectures=(HOSTS,),
            packages=wanted,
            dependencies=True,
        )
    versioned = tuple(
        name if name == "kubernetes-cni" else f"{name}={spec.kubernetes.version}-*" for name in KUBERNETES_PACKAGES
    )
    yield from _repository(kubernetes, "control planes", HOSTS, versioned, "", dependencies=True)
    for each in guests:
        disk = payload(spec, each)
        theirs = tuple(name for name in disk.packages if name.partition("=")[0] in KUBERNETES_PACKAGES)
        others = tuple(name for name in disk.packages if name not in theirs)
        used_by = f"guests of {each.name}, on their payload disk"
        for source in of_guests[each.name]:
            package, file = archive_keyring(source)
            yield from _repository(source, used_by, each.debian, others, f"{file} of package {package}")
        yield from _repository(kubernetes, used_by, each.debian, theirs, "")


def _repository(
    source: AptSource,
    used_by: str,
    architecture: str,
    packages: tuple[str, ...],
    keyless: str,
    *,
    dependencies: bool = False,
) -> Iterator[Fetched]:
    """A package repository, and its key where it has one."""
    yield Fetched(
        "package repository",
        used_by,
        source.uri,
        f"its signature, by {f'the key at {source.key_url}' if source.key_url else keyless}",
        suites=source.suites,
        components=source.components,
        architectures=(architecture,),
        packages=packages,
        dependencies=dependencies,
    )
    if source.key_url:
        pin = f"SHA-256 {source.key_sha256}"
        fingerprints = f"fingerprint {' or '.join(source.key_fingerprints)}"
        yield Fetched("key", "hosts", source.key_url, pin if source.key_sha256 else fingerprints)


def _container_images(planned: ClusterPlan) -> Iterator[Fetched]:
    """What kubeadm has control planes pull, and what all nodes run: a guest's payload, and CoreDNS on whichever."""
    spec, guests = planned.spec, planned.architectures
    version = spec.kubernetes.version
    control_plane = [
        *(
            f"{KUBERNETES}/{name}:v{version}"
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
        ),
        f"{KUBERNETES}/etcd:{versions.ETCD}",
    ]
    # The same for each architecture: references are of all platforms.
    everywhere = [
        *payload(spec, next(iter(ARCHITECTURES.values()))).images,
        f"{KUBERNETES}/coredns/coredns:v{versions.COREDNS}",
    ]
    platforms = (HOSTS, *(f"linux/{each.oci}" for each in guests))
    yield from _images(planned, control_plane, "control planes", (HOSTS,))
    yield from _images(planned, everywhere, "all nodes", platforms)


def _images(
    planned: ClusterPlan, references: Iterable[str], used_by: str, platforms: tuple[str, ...]
) -> Iterator[Fetched]:
    for reference in references:
        url = planned.spec.sources.registry_at(reference.partition("/")[0])
        checked_by = "the digests in the manifest that the registry has for its tag"
        yield Fetched("container image", used_by, url, checked_by, image=reference, architectures=platforms)


def _guest_images(planned: ClusterPlan) -> Iterator[Fetched]:
    for each in planned.architectures:
        yield from _guest_image(planned.spec.guest_image(each.name), f"guests of {each.name}")


def _guest_image(image: GuestImage, used_by: str) -> Iterator[Fetched]:
    """An image, and what its publisher has signed where no checksum of it is given."""
    if image.sha256:
        yield Fetched("guest image", used_by, image.url, f"SHA-256 {image.sha256}")
        return
    sums = f"{image.url.rpartition('/')[0]}/SHA256SUMS"
    package, file = image_files(image)["image-keyring"].split()
    yield Fetched("guest image", used_by, image.url, f"its checksum in {sums}")
    yield Fetched("checksums", used_by, sums, f"the signature {sums}.gpg")
    yield Fetched("signature", used_by, f"{sums}.gpg", f"{file} of package {package}")
