"""Where packages and images come from, for sites without internet, too; and what each of them is checked by."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from q8s_infra.arch import ARCHITECTURES
from q8s_infra.spec.certificates import Authorities
from q8s_infra.spec.errors import of_fields
from q8s_infra.spec.registries import Registry, RegistryName, own_address
from q8s_infra.spec.types import ArchitectureName, ByArchitecture, ImageSha256, KeySha256, Model, matching
from q8s_infra.spec.urls import RegistryUrl, Url

KUBERNETES_KEY: Final = "DE15B14486CD377B9E876E1A234654DA9A296436"
"""Fingerprint of the key that signs pkgs.k8s.io (isv:kubernetes OBS Project), as in kubernetes/kubernetes#128609."""
_FINGERPRINT_DIGITS: Final = 40
_DATED: Final = re.compile(r"/(release-)?[0-9]{8}(\.[0-9]+)?/[^/?#]+$")
"""An image in a folder of Ubuntu's that stays as it is: ``release-20260911/``, or ``20260911/`` of daily images."""


def _fingerprint(given: str) -> str:
    """A fingerprint as gpg's listings have it; people write it in lower case, or in groups, too."""
    digits = given.replace(" ", "").upper()
    if len(digits) != _FINGERPRINT_DIGITS or set(digits) - set("0123456789ABCDEF"):
        raise ValueError(
            f"an OpenPGP fingerprint has {_FINGERPRINT_DIGITS} hexadecimal digits, and a key id, its end, can be forged"
        )
    return digits


Word = Annotated[
    str, matching(r"[A-Za-z0-9./:_-]+", "one word each, of letters, digits and './:_-': write several as a list")
]
Fingerprint = Annotated[
    str, AfterValidator(_fingerprint), WithJsonSchema({"type": "string", "format": "openpgp-fingerprint"})
]
Distribution = Literal["debian", "ubuntu"]


def _named(url: str) -> Distribution:
    """The distribution whose name is the last one in a URL, or else Debian."""
    return "ubuntu" if url.rfind("ubuntu") > url.rfind("debian") else "debian"


class GuestImage(Model):
    """A cloud image for guests of one architecture."""

    url: Url = Field(description="Where each host downloads it from.")
    sha256: ImageSha256 | None = Field(
        default=None,
        description="Checksum of the file; a download that differs is refused. By default, for a dated release of "
        "Ubuntu, the one in the SHA256SUMS beside it, which Ubuntu signed.",
    )

    @model_validator(mode="after")
    def _is_checked(self) -> GuestImage:
        if self.sha256 is None and _named(self.url) != "ubuntu":
            raise of_fields(["sha256: is missing, and only Ubuntu's images have a signature that says it"])
        if self.sha256 is None and not _DATED.search(self.url):
            raise of_fields(
                [
                    f"url: {self.url} has an image that moves, as no date is in it: "
                    "take a dated release (.../release-20260911/...) or give sha256"
                ]
            )
        return self

    @property
    def identity(self) -> str:
        """What guests are made of, as previews show it: the checksum's first digits, or the URL of a dated release."""
        return self.sha256[:16] if self.sha256 else self.url

    @property
    def key(self) -> str:
        """What its file is named by: the checksum, or where Ubuntu signed that, 16 hex digits made of the URL."""
        return self.sha256 or hashlib.sha256(self.url.encode()).hexdigest()[:16]


class AptSource(Model):
    """An apt repository. With a key, packages must be signed by it; without, by the distribution's archive keys."""

    uri: Url = Field(description="Base of the repository.")
    suites: tuple[Word, ...] = Field(min_length=1, description="Suites, or a path that ends with a slash.")
    components: tuple[Word, ...] = Field(
        default=("main",), validate_default=True, description="Components; none with a path."
    )
    key_fingerprints: tuple[Fingerprint, ...] = Field(
        default=(),
        description="Whose the key is; each primary key in the file must have one of them.",
    )
    key_sha256: KeySha256 | None = Field(
        default=None, description="Checksum of the key's file, in place of fingerprints; another when its expiry is."
    )
    key_url: Url | None = Field(
        default=None,
        validate_default=True,
        description="The signing key, with `keyFingerprints` or `keySha256`; ASCII-armoured with the latter.",
    )
    archive: Distribution | None = Field(
        default=None,
        description="For guests' packages without a key: whose archive keyring checks them; by default whose name "
        "is the last one in `uri`, or else Debian's. A host's image has its own keys.",
    )

    @field_validator("components")
    @classmethod
    def _go_with_the_suites(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        paths = {suite.endswith("/") for suite in info.data.get("suites", ())}
        if True in paths and (given or False in paths):
            raise ValueError("a suite that ends with a slash is a path and has no components: write components: []")
        if paths == {False} and not given:
            raise ValueError("one at least, such as main, for suites that do not end with a slash")
        return given

    @field_validator("key_url")
    @classmethod
    def _is_pinned(cls, given: str | None, info: ValidationInfo) -> str | None:
        if not {"key_fingerprints", "key_sha256"} <= info.data.keys():
            return given
        pins = (info.data["key_sha256"] is not None) + bool(info.data["key_fingerprints"])
        if given is None and pins:
            raise ValueError("is missing, where keyFingerprints or keySha256 say which key is there")
        if given is not None and pins != 1:
            raise ValueError(
                "goes with keyFingerprints or keySha256, exactly one of them, as a key is never taken unchecked"
            )
        return given

    @field_validator("archive")
    @classmethod
    def _is_without_key(cls, given: Distribution | None, info: ValidationInfo) -> Distribution | None:
        if given is not None and info.data.get("key_url") is not None:
            raise ValueError("is for a source without keyUrl, and this one has a key")
        return given

    @property
    def distribution(self) -> Distribution:
        """Whose archive keyring checks packages of a source without a key, where no image does."""
        return self.archive or _named(self.uri)


class Sources(Model):
    """Package sources, registry mirrors, and certificate authorities that vouch for them."""

    host_apt: tuple[AptSource, ...] = Field(default=(), description="For hosts, in place of their image's own.")
    guest_apt: Annotated[dict[ArchitectureName, tuple[AptSource, ...]], ByArchitecture] = Field(
        default_factory=dict, description="Where guests' container runtime comes from, by architecture."
    )
    kubernetes_apt: AptSource | None = Field(
        default=None, description="Kubernetes' packages, with their key; by default pkgs.k8s.io."
    )
    kubernetes_key_fingerprints: tuple[Fingerprint, ...] | None = Field(
        default=None,
        description="Fingerprints of pkgs.k8s.io's Release.key, where `kubernetesApt` is not given; "
        f"by default {KUBERNETES_KEY}.",
    )
    kubernetes_key_sha256: KeySha256 | None = Field(
        default=None, description="Checksum of pkgs.k8s.io's Release.key, in place of its fingerprints."
    )
    registry_mirror: RegistryUrl | None = Field(default=None, description="One mirror for all container registries.")
    registries: dict[RegistryName, Registry] = Field(
        default_factory=dict,
        description="Container registries with a mirror, authorities or a password of their own, by the name that "
        "image references have; for them `registryMirror` is not asked.",
    )
    ca_certificates: Authorities | None = Field(
        default=None,
        description="The site's own certificate authorities, which hosts and guests trust beside the public ones.",
    )

    @field_validator("host_apt")
    @classmethod
    def _have_no_archive(cls, given: tuple[AptSource, ...]) -> tuple[AptSource, ...]:
        if mistaken := [index for index, source in enumerate(given) if source.archive is not None]:
            raise of_fields(
                [f"{index}.archive: is for guestApt, as a host's image has its own keys" for index in mistaken]
            )
        return given

    @field_validator("registries")
    @classmethod
    def _take_a_password(cls, given: dict[str, Registry]) -> dict[str, Registry]:
        docker = given.get("docker.io")
        if docker is not None and docker.mirror is None and docker.secret is not None:
            raise of_fields(
                ["docker.io.password: is for a mirror, as docker.io takes none with the requests for its images"]
            )
        return given

    @field_validator("kubernetes_apt")
    @classmethod
    def _has_a_key(cls, given: AptSource | None) -> AptSource | None:
        if given is not None and given.key_url is None:
            raise of_fields(["keyUrl: is missing, and no distribution signs Kubernetes' packages"])
        return given

    @field_validator("kubernetes_key_fingerprints", "kubernetes_key_sha256")
    @classmethod
    def _is_the_only_pin(cls, given: Any, info: ValidationInfo) -> Any:
        if given == ():
            raise ValueError("one at least, as packages are never taken unchecked")
        if given is not None and info.data.get("kubernetes_apt") is not None:
            raise ValueError("is for pkgs.k8s.io, and kubernetesApt has a key of its own")
        if given is not None and info.data.get("kubernetes_key_fingerprints") is not None:
            raise ValueError("this or kubernetesKeyFingerprints, exactly one of them")
        return given

    def registry_at(self, name: str) -> str:
        """The URL where a registry's images are fetched."""
        registry = self.registries.get(name)
        mirror = self.registry_mirror if registry is None else registry.mirror
        return mirror or own_address(name)

    def guest_apt_of(self, architecture: str) -> tuple[AptSource, ...]:
        """The sources for an architecture's guests, given or default."""
        uri, suites = ARCHITECTURES[architecture].guest_apt
        return self.guest_apt.get(architecture) or (AptSource(uri=uri, suites=suites, components=("main", "universe")),)

    def kubernetes_apt_of(self, version: str) -> AptSource:
        """Kubernetes' package repository for a version, given or default."""
        uri = f"https://pkgs.k8s.io/core:/stable:/v{version.rpartition('.')[0]}/deb/"
        return self.kubernetes_apt or AptSource(
            uri=uri,
            suites=("/",),
            components=(),
            key_url=f"{uri}Release.key",
            key_fingerprints=()
            if self.kubernetes_key_sha256
            else self.kubernetes_key_fingerprints or (KUBERNETES_KEY,),
            key_sha256=self.kubernetes_key_sha256,
        )
