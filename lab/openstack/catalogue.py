"""What an administrator sets up once: catalogue, flavors, host image, network; and a regular member of a project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import openstack
import yaml
from openstack.connection import Connection
from openstack.identity.v3._proxy import Proxy as Identity

from lab import files, layout
from lab.openstack.passwords import Passwords

_DOMAIN: Final = "default"
SERVICES: Final = {
    "glance": ("image", f"http://{layout.LOOPBACK}:{layout.GLANCE_PORT}"),
    "placement": ("placement", f"http://{layout.LOOPBACK}:{layout.PLACEMENT_PORT}"),
    "nova": ("compute", f"http://{layout.LOOPBACK}:{layout.NOVA_PORT}/v2.1"),
    "neutron": ("network", f"http://{layout.LOOPBACK}:{layout.NEUTRON_PORT}"),
    "cinder": ("volumev3", f"http://{layout.LOOPBACK}:{layout.CINDER_PORT}/v3/$(project_id)s"),
}
"""Type and address of each service, by its name and its account's."""
_ANSWER_SECONDS: Final = 120
_COMPUTE_QUOTA: Final = {"instances": 100, "cores": 400, "ram": 400 * 1024, "key_pairs": 100}
_NETWORK_QUOTA: Final = {"ports": 500, "security_groups": 50, "security_group_rules": 500, "floating_ips": 50}


def administrator(passwords: Passwords) -> Connection:
    """The cloud, as its administrator."""
    return _connect("admin", passwords.admin, "admin")


def register_services(cloud: Connection, passwords: Passwords) -> bool:
    """Accounts and endpoints of all services, and the member's project; before the services start.

    What is there stays; an earlier release's lab has not all of them.

    Returns:
        True where an endpoint is new.
    """
    identity = _identity(cloud)
    roles = {role.name: role for role in identity.roles()}
    if "service" not in roles:
        roles["service"] = identity.create_role(name="service")
    project = identity.find_project("service") or identity.create_project(name="service", domain_id=_DOMAIN)
    known = {service.type: service.id for service in identity.services()}
    there = {(endpoint.service_id, endpoint.interface) for endpoint in identity.endpoints()}
    new = False
    for name, (kind, url) in SERVICES.items():
        user = _user(cloud, name, passwords.service)
        for role in ("admin", "service"):
            identity.assign_project_role_to_user(project, user, roles[role])
        service = known.get(kind) or identity.create_service(name=name, type=kind).id
        for interface in ("public", "internal", "admin"):
            if (service, interface) not in there:
                identity.create_endpoint(service_id=service, interface=interface, url=url, region_id=layout.REGION)
                new = True
    members = identity.find_project(layout.PROJECT) or identity.create_project(name=layout.PROJECT, domain_id=_DOMAIN)
    identity.assign_project_role_to_user(members, _user(cloud, layout.MEMBER, passwords.member), roles["member"])
    return new


def set_up(cloud: Connection, passwords: Passwords) -> None:
    """Quotas, flavors, host image, networks and the member's way in; what is there stays."""
    project = _identity(cloud).find_project(layout.PROJECT, ignore_missing=False)
    cloud.set_compute_quotas(project.id, **_COMPUTE_QUOTA)
    cloud.network.update_quota(project.id, **_NETWORK_QUOTA)
    for name, (cpus, memory, disk) in layout.FLAVORS.items():
        if cloud.compute.find_flavor(name) is None:
            cloud.compute.create_flavor(name=name, vcpus=cpus, ram=memory, disk=disk)
    if cloud.image.find_image(layout.HOST_IMAGE) is None:
        _host_image(cloud, layout.HOST_IMAGE)
    _flat_network(
        cloud, layout.PRIVATE_NETWORK, layout.PHYSICAL_NETWORK,
        layout.PRIVATE_CIDR, layout.PRIVATE_GATEWAY, layout.PRIVATE_POOL, is_shared=True,
    )  # fmt: skip
    _flat_network(
        cloud, layout.EXTERNAL_NETWORK, layout.EXTERNAL_PHYSICAL_NETWORK,
        layout.EXTERNAL_CIDR, layout.EXTERNAL_GATEWAY, layout.EXTERNAL_POOL, is_router_external=True,
    )  # fmt: skip
    _credential(passwords)


@contextmanager
def offered(cloud: Connection, name: str, root: Path) -> Iterator[None]:
    """A further host image of this name, for as long as it is needed: who has a choice of images has to make it.

    Args:
        cloud: the cloud, as its administrator.
        name: the image's.
        root: the root file system of hosts that are made of it.
    """
    # What a run has left that was killed.
    cloud.delete_image(name)
    _host_image(cloud, name, **{layout.HOST_ROOT: str(root)})
    try:
        yield
    finally:
        cloud.delete_image(name)


def _host_image(cloud: Connection, name: str, **properties: str) -> None:
    cloud.create_image(
        name, disk_format="raw", container_format="bare", visibility="public", wait=True, meta=properties,
        # The root file system is an artifact of the lab, which the compute driver knows; Glance holds its name.
        data=b"The lab's hosts boot a root file system that the compute driver keeps.\n",
    )  # fmt: skip


def _flat_network(
    cloud: Connection, name: str, physical: str, cidr: str, gateway: str, pool: tuple[str, str], **kind: bool
) -> None:
    api = cloud.network
    network = api.find_network(name) or api.create_network(
        name=name, provider_network_type="flat", provider_physical_network=physical, **kind
    )
    if api.find_subnet(name) is None:
        first, last = pool
        api.create_subnet(
            name=name, network_id=network.id, ip_version=4, cidr=cidr, gateway_ip=gateway, is_dhcp_enabled=False,
            allocation_pools=[{"start": first, "end": last}],
        )  # fmt: skip


def _credential(passwords: Passwords) -> None:
    """The member's application credential, as users get it from a dashboard: a clouds.yaml."""
    if layout.CLOUDS_YAML.exists():
        return
    member = _connect(layout.MEMBER, passwords.member, layout.PROJECT)
    identity, user = _identity(member), str(member.current_user_id)
    for old in identity.application_credentials(user):
        identity.delete_application_credential(user, old)
    made = identity.create_application_credential(user, name="q8s")
    cloud: dict[str, Any] = {
        "auth_type": "v3applicationcredential",
        "auth": {
            "auth_url": layout.KEYSTONE_URL,
            "application_credential_id": made.id,
            "application_credential_secret": made.secret,
        },
        "region_name": layout.REGION,
    }
    files.write(layout.CLOUDS_YAML, yaml.safe_dump({"clouds": {layout.CLOUD: cloud}}))


def _user(cloud: Connection, name: str, password: str) -> Any:
    identity = _identity(cloud)
    return identity.find_user(name) or identity.create_user(name=name, password=password, domain_id=_DOMAIN)


def _identity(cloud: Connection) -> Identity:
    """Keystone's API; the SDK's types leave open which version."""
    proxy = cloud.identity
    assert isinstance(proxy, Identity)  # noqa: S101 - the lab's Keystone has no other
    return proxy


def _connect(user: str, password: str, project: str) -> Connection:
    return openstack.connect(
        load_yaml_config=False, load_envvars=False, auth_url=layout.KEYSTONE_URL, username=user, password=password,
        project_name=project, user_domain_id=_DOMAIN, project_domain_id=_DOMAIN, region_name=layout.REGION,
        # A service that was just killed may still accept connections, or be on its way back.
        connect_retries=6,
        api_timeout=_ANSWER_SECONDS,
    )  # fmt: skip
