"""Container registries: where each one's images are fetched, and what its server is trusted by and is told."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from q8s_infra.spec.certificates import Authorities
from q8s_infra.spec.types import Model

_HOST: Final = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"{_HOST}(:[0-9]{{1,5}})?")
_NAME_MAX: Final = 128
KUBERNETES: Final = "registry.k8s.io"
"""The registry of Kubernetes' own images."""
_MIRROR: Final = re.compile(rf"https?://({_HOST}|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?(/[A-Za-z0-9._~-]+)*/?")
_ADDRESSES: Final = {"docker.io": "registry-1.docker.io"}
"""Registries that are elsewhere than their names say."""


def own_address(name: str) -> str:
    """The URL of a registry itself."""
    return f"https://{_ADDRESSES.get(name, name)}"


def _registry(given: str) -> str:
    """A registry as image references have it: a first part without dot and port would be of an image's name."""
    if given == "_default":
        raise ValueError("the mirror of all other registries is registryMirror")
    named = given == "localhost" or "." in given or ":" in given
    if not named or len(given) > _NAME_MAX or not _NAME.fullmatch(given):
        raise ValueError(
            "a registry is named as in image references, such as docker.io, registry.k8s.io or registry.example:5000"
        )
    return given


def _mirror(given: str) -> str:
    if not _MIRROR.fullmatch(given):
        raise ValueError(
            "a mirror is http://HOST[:PORT][/PATH], or the same with https; a user and a password have fields of "
            "their own"
        )
    return given.rstrip("/")


def _username(given: str) -> str:
    if not given.isprintable() or ":" in given:
        raise ValueError("printable characters without a colon (RFC 7617)")
    return given


def _password(given: str) -> str:
    if not given.isprintable():
        raise ValueError("printable characters, without line ends (RFC 7617)")
    return given


RegistryName = Annotated[str, AfterValidator(_registry)]
MirrorUrl = Annotated[str, AfterValidator(_mirror), WithJsonSchema({"type": "string", "format": "mirror-url"})]
Username = Annotated[str, StringConstraints(min_length=1), AfterValidator(_username)]
Password = Annotated[str, StringConstraints(min_length=1), AfterValidator(_password)]


class Registry(Model):
    """One registry's mirror, or how the registry itself is spoken to. Passwords are secrets: errors never show them."""

    mirror: MirrorUrl | None = Field(
        default=None,
        description="Where its images are fetched, by default from itself. With `v2` in its path, that is the API's "
        "whole path; otherwise `/v2` comes after it.",
    )
    ca_certificates: Authorities | None = Field(
        default=None,
        description="Certificate authorities that vouch for it, beside all others, and for nothing else.",
    )
    username: Username | None = Field(default=None, description="Whom its server knows; with `password`.")
    password: Password | None = Field(
        default=None,
        validate_default=True,
        description="With `username`: sent as HTTP's Basic authorization, by https only.",
    )

    @field_validator("ca_certificates")
    @classmethod
    def _is_for_https(cls, given: str | None, info: ValidationInfo) -> str | None:
        if given is not None and _is_plain(info):
            raise ValueError("is for https, and the mirror's URL begins with http:")
        return given

    @field_validator("password")
    @classmethod
    def _is_a_pair(cls, given: str | None, info: ValidationInfo) -> str | None:
        if "username" not in info.data:
            return given
        username = info.data["username"]
        if given is None and username is not None:
            raise ValueError("is missing, and username goes with it")
        if given is not None and username is None:
            raise ValueError("goes with username, and none is given")
        if given is not None and _is_plain(info):
            raise ValueError("is sent by https only, and the mirror's URL begins with http:")
        return given

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.mirror or self.ca_certificates or self.username):
            raise ValueError("give mirror, caCertificates, or username and password, one of them at least")
        return self

    @property
    def secret(self) -> str | None:
        """User and password in one, as HTTP has them; a secret."""
        return None if self.username is None else f"{self.username}:{self.password}"

    @property
    def overrides_path(self) -> bool:
        """Whether the mirror's path is the API's whole path."""
        return "v2" in urlsplit(self.mirror or "").path.split("/")


def _is_plain(info: ValidationInfo) -> bool:
    return (info.data.get("mirror") or "").startswith("http:")
