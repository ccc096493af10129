"""The program connects by the settings of Pulumi's OpenStack provider."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from openstack.config import loader

from q8s_infra.connection import arguments, connected
from q8s_infra.spec import SpecErrors


@pytest.mark.parametrize(
    ("settings", "environment", "expected"),
    [
        ({}, {}, {}),
        ({"cloud": "here", "region": "B"}, {"OS_REGION_NAME": "A"}, {"cloud": "here", "region_name": "B"}),
        # With a cloud of clouds.yaml, openstacksdk would pass over it.
        ({}, {"OS_REGION_NAME": "A"}, {"region_name": "A"}),
        ({"endpointType": "internalURL"}, {}, {"interface": "internal"}),
        ({}, {"OS_ENDPOINT_TYPE": "admin"}, {"interface": "admin"}),
        ({"insecure": "true"}, {}, {"verify": False}),
        ({"insecure": "false"}, {"OS_INSECURE": "true"}, {}),
        (
            {"authUrl": "https://keystone", "applicationCredentialId": "i", "applicationCredentialSecret": "s"},
            {},
            {
                "auth": {
                    "auth_url": "https://keystone",
                    "application_credential_id": "i",
                    "application_credential_secret": "s",
                },
                "auth_type": "v3applicationcredential",
            },
        ),
        (
            {"tenantName": "t", "userDomainName": "d"},
            {},
            {"auth": {"project_name": "t", "user_domain_name": "d"}},
        ),
    ],
)
def test_settings_of_the_provider_are_passed_on(
    settings: dict[str, str], environment: dict[str, str], expected: dict[str, Any]
) -> None:
    assert arguments(settings, environment) == expected


CLOUD = """
clouds:
  here:
    auth: {auth_url: "http://127.0.0.1:9/v3", username: me, password: secret, project_name: p}
"""


def refused(folder: Path, monkeypatch: pytest.MonkeyPatch, clouds: str) -> str:
    """Why a connection to the cloud of a file is refused."""
    for variable in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(variable)
    # openstacksdk has looked for folders when it was imported.
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(folder / "clouds.yaml"))
    monkeypatch.setattr(loader, "VENDOR_FILES", [str(folder / "clouds-public.yaml")])
    (folder / "clouds.yaml").write_text(clouds)
    with pytest.raises(SpecErrors) as error:
        connected({"cloud": "here"})
    return str(error.value)


def test_a_login_that_the_provider_does_not_know_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    federated = """    auth_type: v3oidcpassword
    identity_provider: idp
    protocol: openid
    client_id: me
"""
    told = refused(tmp_path, monkeypatch, CLOUD + federated)
    assert "cloud here logs in by auth_type v3oidcpassword, which Pulumi's OpenStack provider does not know" in told
    # Without it, nothing is in the way but that no service is there.
    assert "OpenStack authentication failed" in refused(tmp_path, monkeypatch, CLOUD)


def test_a_vendors_profile_that_the_provider_does_not_find_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = refused(tmp_path, monkeypatch, CLOUD + "    profile: vexxhost\n")
    assert "cloud here has the profile vexxhost, which Pulumi's OpenStack provider finds in clouds-public.yaml" in told
    public = 'public-clouds: {vexxhost: {auth: {auth_url: "http://127.0.0.1:9/v3"}}}'
    (tmp_path / "clouds-public.yaml").write_text(public)
    assert "OpenStack authentication failed" in refused(tmp_path, monkeypatch, CLOUD + "    profile: vexxhost\n")
