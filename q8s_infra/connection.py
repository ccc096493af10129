"""The program's own connection to OpenStack, by the same settings as Pulumi's OpenStack provider.

The provider reads ``openstack:*`` of the stack's configuration, then ``OS_*`` variables, then ``clouds.yaml``
(pulumi-openstack, ``provider/resources.go``; terraform-provider-openstack, ``openstack/provider.go``). openstacksdk
reads the last two by itself, so this passes on the first, and the region, which it reads otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import openstack
from keystoneauth1.exceptions import ClientException
from openstack import exceptions
from openstack.config import OpenStackConfig

from q8s_infra.openstack_project import OpenStackProject
from q8s_infra.printable import printable
from q8s_infra.spec import Mistake, SpecErrors

FAILURES: Final = (exceptions.SDKException, ClientException)
"""Raised by a look-up that OpenStack does not answer or refuses."""

_AUTH: Final = {
    "authUrl": "auth_url",
    "userName": "username",
    "userId": "user_id",
    "password": "password",
    "token": "token",
    "tenantId": "project_id",
    "tenantName": "project_name",
    "domainId": "domain_id",
    "domainName": "domain_name",
    "userDomainId": "user_domain_id",
    "userDomainName": "user_domain_name",
    "projectDomainId": "project_domain_id",
    "projectDomainName": "project_domain_name",
    "defaultDomain": "default_domain",
    "applicationCredentialId": "application_credential_id",
    "applicationCredentialName": "application_credential_name",
    "applicationCredentialSecret": "application_credential_secret",
}
"""Credentials: settings of the provider, and openstacksdk's names for them."""
_CONNECTION: Final = {
    "cloud": "cloud",
    "region": "region_name",
    "cacertFile": "cacert",
    "cert": "cert",
    "key": "key",
    "endpointType": "interface",
}
"""Everything else about the connection, likewise."""
SETTINGS: Final = (*_AUTH, *_CONNECTION, "insecure")
"""The ``openstack:*`` settings that are passed on."""


_AUTH_TYPES: Final = frozenset(
    {"password", "token", "v2password", "v2token", "v3password", "v3token", "v3applicationcredential"}
)
"""What the provider can log in by (gophercloud/utils, ``openstack/clientconfig/requests.go``)."""


def arguments(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of ``openstack.connect`` for the provider's settings.

    Args:
        settings: ``openstack:*`` of the stack's configuration, without the prefix.
        environment: the process's; only what openstacksdk reads otherwise than the provider is looked at.
    """
    known: dict[str, Any] = {ours: settings[name] for name, ours in _CONNECTION.items() if settings.get(name)}
    auth = {ours: settings[name] for name, ours in _AUTH.items() if settings.get(name)}
    if auth:
        known["auth"] = auth
    if "application_credential_secret" in auth:
        known["auth_type"] = "v3applicationcredential"
    elif "token" in auth:
        known["auth_type"] = "v3token"
    if settings.get("insecure", environment.get("OS_INSECURE", "")).lower() in {"true", "1"}:
        known["verify"] = False
    # With a cloud of clouds.yaml, openstacksdk passes over these; the provider does not.
    for name, variable in (("region_name", "OS_REGION_NAME"), ("interface", "OS_ENDPOINT_TYPE")):
        if name not in known and environment.get(variable):
            known[name] = environment[variable]
    if endpoint_type := known.get("interface"):
        known["interface"] = str(endpoint_type).removesuffix("URL")
    return known


def connected(settings: Mapping[str, str]) -> openstack.connection.Connection:
    """A connection by the provider's settings, logged in.

    Args:
        settings: ``openstack:*`` of the stack's configuration, without the prefix.

    Raises:
        SpecErrors: no such cloud or region, or its credentials are refused; or Pulumi's provider could not connect:
            it would not find the ``clouds.yaml`` that openstacksdk finds, or does not know what stands there.
    """
    if hidden := hidden_file():
        text = f"clouds.yaml is {hidden}, where Pulumi's OpenStack provider does not look"
        raise SpecErrors([Mistake("OS_CLIENT_CONFIG_FILE", None, f"{text}: export OS_CLIENT_CONFIG_FILE={hidden}")])
    try:
        if mistakes := unknown_to_provider(settings.get("cloud") or os.environ.get("OS_CLOUD", "")):
            raise SpecErrors(mistakes)
        connection = openstack.connect(**arguments(settings, os.environ))
        connection.authorize()
    except (*FAILURES, OSError) as error:
        name = settings.get("cloud") or os.environ.get("OS_CLOUD")
        raise SpecErrors([Mistake("OS_CLOUD", name, _refused(error, name))]) from None
    return connection


def project_of(connection: openstack.connection.Connection) -> OpenStackProject:
    """The project, region and compute endpoint that a connection acts in."""
    return OpenStackProject(
        project=connection.current_project_id or "",
        region=connection.config.get_region_name("compute") or "",
        endpoint=connection.compute.get_endpoint() or "",
    )


def unknown_to_provider(cloud: str) -> list[Mistake]:
    """What openstacksdk takes from a cloud of ``clouds.yaml`` and Pulumi's provider does not.

    The provider knows vendors by ``clouds-public.yaml`` alone, and no federated login (gophercloud/utils,
    ``openstack/clientconfig/requests.go``, ``GetCloudFromYAML``).
    """
    files = OpenStackConfig()
    given = (files.cloud_config or {}).get("clouds", {}).get(cloud) or {}
    kind, vendor = given.get("auth_type"), given.get("profile", given.get("cloud"))
    mistakes = []
    if kind and kind not in _AUTH_TYPES:
        told = (
            f"cloud {cloud} logs in by auth_type {kind}, which Pulumi's OpenStack provider does not know: create an "
            "application credential (openstack application credential create) and use that"
        )
        mistakes.append(Mistake("OS_CLOUD", cloud, told))
    # openstacksdk has no public function that reads this file alone.
    _, public = files._load_vendor_file()
    if vendor and vendor not in ((public or {}).get("public-clouds") or {}):
        told = (
            f"cloud {cloud} has the profile {vendor}, which Pulumi's OpenStack provider finds in clouds-public.yaml "
            "only: write auth.auth_url and region_name into clouds.yaml and remove profile"
        )
        mistakes.append(Mistake("OS_CLOUD", cloud, told))
    return mistakes


def hidden_file() -> Path | None:
    """The file ``clouds.yaml`` that openstacksdk reads, where Pulumi's provider would not find it.

    The provider looks into the working directory, the home that the user database names and not ``$HOME``, and
    ``/etc/openstack`` (gophercloud/utils, openstack/clientconfig, ``FindAndReadYAML``).
    """
    if "OS_CLIENT_CONFIG_FILE" in os.environ:
        return None
    found = OpenStackConfig(load_envvars=False).config_filename
    if found is None:
        return None
    folders = (Path.cwd(), Path(_home(), ".config/openstack"), Path("/etc/openstack"))
    path = Path(found)
    return None if any(path.parent.resolve() == folder.resolve() for folder in folders) else path.absolute()


def failure(error: Exception) -> str:
    """One line about a look-up that failed."""
    return f"OpenStack did not answer a request: {_first_line(error)}"


def _home() -> str:
    try:
        import pwd  # noqa: PLC0415 - Windows has none

        return pwd.getpwuid(os.getuid()).pw_dir
    except (ImportError, KeyError):
        # A container may run as a user that the user database does not have.
        return str(Path.home())


def _refused(error: Exception, cloud: str | None) -> str:
    text = f"OpenStack authentication failed: {_first_line(error)}"
    if cloud or os.environ.get("OS_AUTH_URL"):
        return text
    searched = "., ~/.config/openstack, /etc/openstack"
    return f"{text}. Neither OS_CLOUD nor openstack:cloud is set, and clouds.yaml is looked for in {searched}"


def _first_line(error: Exception) -> str:
    return next(iter(printable(str(error)).splitlines()), type(error).__name__)
