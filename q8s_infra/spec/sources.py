"""Where packages and images come from: configurable for sites without internet, and pinned by checksum."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from q8s_infra.arch import ARCHITECTURES
from q8s_infra.spec.types import ArchitectureName, Model, Sha256, Url

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9./:_-]+$")]


class GuestImage(Model):
    """A cloud image for guests of one architecture."""

    url: Url = Field(description="Where each host downloads it from.")
    sha256: Sha256 = Field(description="Checksum of the file; a download that differs is refused.")


class AptSource(Model):
    """An apt repository. With a key, packages must be signed by it; without, by a key that the image has."""

    uri: Url = Field(description="Base of the repository.")
    suites: tuple[Word, ...] = Field(min_length=1, description="Suites, or a path that ends with a slash.")
    components: tuple[Word, ...] = Field(default=("main",), description="Components; none with a path.")
    key_url: Url | None = Field(default=None, description="The signing key, ASCII-armoured.")
    key_sha256: Sha256 | None = Field(default=None, description="Checksum of the key's file.")

    @model_validator(mode="after")
    def _key_is_pinned(self) -> AptSource:
        if (self.key_url is None) != (self.key_sha256 is None):
            raise ValueError("keyUrl and keySha256 go together: a key is never taken unchecked")
        return self


class Sources(Model):
    """Package sources and registry mirror."""

    host_apt: tuple[AptSource, ...] = Field(default=(), description="For hosts, in place of their image's own.")
    guest_apt: dict[ArchitectureName, tuple[AptSource, ...]] = Field(
        default_factory=dict, description="Where guests' container runtime comes from, by architecture."
    )
    kubernetes_apt: AptSource | None = Field(default=None, description="Kubernetes' packages; by default pkgs.k8s.io.")
    kubernetes_key_sha256: Sha256 | None = Field(
        default=None, description="Checksum of pkgs.k8s.io's Release.key, where kubernetesApt is not given."
    )
    registry_mirror: Url | None = Field(default=None, description="One mirror for all container registries.")

    @model_validator(mode="after")
    def _kubernetes_key_is_pinned(self) -> Sources:
        if (self.kubernetes_apt is None) == (self.kubernetes_key_sha256 is None):
            raise ValueError(
                "give kubernetesApt or kubernetesKeySha256, one of them: packages are never taken unchecked"
            )
        return self

    def guest_apt_of(self, architecture: str) -> tuple[AptSource, ...]:
        """The sources for an architecture's guests, given or default."""
        uri, suites = ARCHITECTURES[architecture].guest_apt
        return self.guest_apt.get(architecture) or (AptSource(uri=uri, suites=suites, components=("main", "universe")),)


class Proxy(Model):
    """HTTP proxies for hosts and guests."""

    http: Url | None = Field(default=None, description="For http.")
    https: Url | None = Field(default=None, description="For https.")
    no_proxy: tuple[str, ...] = Field(default=(), description="Names and addresses that are reached without.")
