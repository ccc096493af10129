"""The program connects by the settings of Pulumi's OpenStack provider."""

from __future__ import annotations

from typing import Any

import pytest

from q8s_infra.connection import arguments


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
