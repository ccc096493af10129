"""The way out of a site whose hosts reach the internet by a proxy only."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from q8s_infra.spec.types import Model

_CREDENTIALS: Final = r"[A-Za-z0-9._~%+!*,=-]"
_NAME: Final = r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?"
_PROXY: Final = re.compile(
    rf"https?://({_CREDENTIALS}+(:{_CREDENTIALS}*)?@)?({_NAME}|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{{1,5}})/?"
)
_DOMAIN: Final = re.compile(rf"\.?{_NAME}")
_PORT_MAX: Final = 65535


def _proxy_url(given: str) -> str:
    """A proxy that curl, apt and Go read alike: their default ports differ, so it has one."""
    match = _PROXY.fullmatch(given)
    if match is None or not 1 <= int(match["port"]) <= _PORT_MAX:
        raise ValueError(
            "a proxy is http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, or the same with https, "
            "with special characters in USER and PASSWORD as %XX"
        )
    return given


def _direct(given: str) -> str:
    try:
        if "/" in given:
            ip_network(given)
        elif ":" in given:
            ip_address(given)
        elif not _DOMAIN.fullmatch(given):
            raise ValueError
    except ValueError:
        raise ValueError(
            "one name (which stands for all below it, too), address or CIDR, without port, spaces and wildcards"
        ) from None
    return given


ProxyUrl = Annotated[str, AfterValidator(_proxy_url), WithJsonSchema({"type": "string", "format": "proxy-url"})]
Direct = Annotated[str, AfterValidator(_direct)]


class Proxy(Model):
    """HTTP proxies for hosts and guests. Their passwords are secrets: errors and previews never show them."""

    http: ProxyUrl | None = Field(default=None, description="For http.")
    https: ProxyUrl | None = Field(default=None, description="For https; by default the one for http.")
    no_proxy: tuple[Direct, ...] = Field(
        default=(),
        description="Names (with all below them), addresses and CIDRs that are reached without, beside the cluster's "
        "own.",
    )

    @field_validator("no_proxy")
    @classmethod
    def _is_for_something(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if given and info.data == {"http": None, "https": None}:
            raise ValueError("goes with http or https, and neither is given")
        return given

    def __bool__(self) -> bool:
        """Whether there is one."""
        return self.http is not None or self.https is not None

    @property
    def for_https(self) -> str | None:
        """The proxy for https, given or default."""
        return self.https or self.http
