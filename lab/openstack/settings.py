"""Configuration files of OpenStack's services, rendered from plain values.

Source of the options: each service's configuration reference for 2024.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab import layout
from lab.openstack.passwords import Passwords

Sections = Mapping[str, Mapping[str, object]]

_LOCAL = layout.LOOPBACK
DATABASES = ("keystone", "glance", "placement", "nova", "nova_api", "nova_cell0", "neutron", "cinder")


def ini(sections: Sections) -> str:
    """Sections as an INI file."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{option} = {_text(value)}\n" for option, value in options.items())
        for name, options in sections.items()
    )


def database_url(name: str, passwords: Passwords) -> str:
    """SQLAlchemy's address of a database."""
    return f"mysql+pymysql://lab:{passwords.database}@{_LOCAL}:{layout.DATABASE_PORT}/{name}?charset=utf8"


def all_files(passwords: Passwords, venv: Path) -> dict[str, str]:
    """Every configuration file, by its path under ``layout.ETC``."""
    return {
        "keystone/keystone.conf": ini(keystone(passwords)),
        "glance/glance-api.conf": ini(glance(passwords, venv)),
        "placement/placement.conf": ini(placement(passwords)),
        "nova/nova.conf": ini(nova(passwords, venv)),
        "neutron/neutron.conf": ini(neutron(passwords, venv)),
        "neutron/ml2.ini": ini(ML2),
        "neutron/linuxbridge.ini": ini(LINUXBRIDGE),
        "neutron/l3.ini": ini(L3),
        "cinder/cinder.conf": ini(cinder(passwords, venv)),
    }


def keystone(passwords: Passwords) -> Sections:
    """The sections of keystone.conf."""
    keys = layout.STATE / "keystone"
    return {
        # Who comes in stands in the log: only the beginning of an authentication is left out.
        "DEFAULT": {"notification_opt_out": "identity.authenticate.pending"},
        "oslo_messaging_notifications": {"driver": "log"},
        "database": {"connection": database_url("keystone", passwords)},
        "token": {"provider": "fernet"},
        "fernet_tokens": {"key_repository": keys / "fernet"},
        "fernet_receipts": {"key_repository": keys / "fernet"},
        "credential": {"key_repository": keys / "credential"},
        "cache": {"enabled": True, "backend": "dogpile.cache.memory"},
        # The lab's passwords are random: their hashes need not be slow.
        "identity": {"password_hash_rounds": 4},
    }


def glance(passwords: Passwords, venv: Path) -> Sections:
    """The sections of glance-api.conf."""
    return {
        "DEFAULT": {"bind_host": _LOCAL, "bind_port": layout.GLANCE_PORT, "workers": 1, "enabled_backends": "fs:file"},
        "database": {"connection": database_url("glance", passwords)},
        "glance_store": {"default_backend": "fs"},
        "fs": {"filesystem_store_datadir": layout.STATE / "glance" / "images"},
        "os_glance_staging_store": {"filesystem_store_datadir": layout.STATE / "glance" / "staging"},
        "os_glance_tasks_store": {"filesystem_store_datadir": layout.STATE / "glance" / "tasks"},
        "paste_deploy": {"flavor": "keystone", "config_file": venv / "etc/glance/glance-api-paste.ini"},
        "oslo_concurrency": _locks(),
        "keystone_authtoken": _authtoken("glance", passwords),
    }


def placement(passwords: Passwords) -> Sections:
    """The sections of placement.conf."""
    return {
        "placement_database": {"connection": database_url("placement", passwords)},
        "api": {"auth_strategy": "keystone"},
        "keystone_authtoken": _authtoken("placement", passwords),
    }


def nova(passwords: Passwords, venv: Path) -> Sections:
    """nova.conf: many small hosts on one machine, so CPUs and memory are handed out many times over."""
    return {
        "DEFAULT": {
            "host": "lab",
            "my_ip": _LOCAL,
            "state_path": layout.STATE / "nova",
            "instances_path": layout.INSTANCES,
            "transport_url": _broker(passwords),
            "enabled_apis": "osapi_compute",
            "osapi_compute_listen": _LOCAL,
            "osapi_compute_listen_port": layout.NOVA_PORT,
            "osapi_compute_workers": 1,
            "compute_driver": "nspawn.NspawnDriver",
            "resume_guests_state_on_host_boot": True,
            "vif_plugging_is_fatal": True,
            "vif_plugging_timeout": 60,
            "reserved_host_memory_mb": 0,
            "cpu_allocation_ratio": 64.0,
            "ram_allocation_ratio": 16.0,
            "disk_allocation_ratio": 100.0,
            "update_resources_interval": 0,
        },
        "api": {"auth_strategy": "keystone"},
        "wsgi": {"api_paste_config": venv / "etc/nova/api-paste.ini"},
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 30},
        "api_database": {"connection": database_url("nova_api", passwords)},
        "database": {"connection": database_url("nova", passwords)},
        "cache": {"enabled": True, "backend": "dogpile.cache.memory"},
        "glance": {"api_servers": f"http://{_LOCAL}:{layout.GLANCE_PORT}"},
        "vnc": {"enabled": False},
        "oslo_concurrency": _locks(),
        "keystone_authtoken": _authtoken("nova", passwords),
        "service_user": {**_service("nova", passwords), "send_service_user_token": True},
        "placement": _service("placement", passwords),
        "neutron": _service("neutron", passwords),
        "cinder": {**_service("nova", passwords), "catalog_info": "volumev3::publicURL"},
    }


def cinder(passwords: Passwords, venv: Path) -> Sections:
    """cinder.conf: volumes are files beside the hosts' own disks."""
    return {
        "DEFAULT": {
            "host": "lab",
            "my_ip": _LOCAL,
            "state_path": layout.STATE / "cinder",
            "transport_url": _broker(passwords),
            "osapi_volume_listen": _LOCAL,
            "osapi_volume_listen_port": layout.CINDER_PORT,
            "osapi_volume_workers": 1,
            "enabled_backends": "files",
            "auth_strategy": "keystone",
            "api_paste_config": venv / "etc/cinder/api-paste.ini",
            "resource_query_filters_file": venv / "etc/cinder/resource_filters.json",
            "glance_api_servers": f"http://{_LOCAL}:{layout.GLANCE_PORT}",
        },
        "files": {
            "volume_backend_name": "files",
            "volume_driver": "lab.hosts.volume_driver.FileDriver",
        },
        "database": {"connection": database_url("cinder", passwords)},
        "oslo_concurrency": _locks(),
        "keystone_authtoken": _authtoken("cinder", passwords),
        "service_user": {**_service("cinder", passwords), "send_service_user_token": True},
    }


def neutron(passwords: Passwords, venv: Path) -> Sections:
    """The sections of neutron.conf."""
    return {
        "DEFAULT": {
            "host": "lab",
            "bind_host": _LOCAL,
            "bind_port": layout.NEUTRON_PORT,
            "core_plugin": "ml2",
            "service_plugins": "router",
            "api_workers": 2,
            "rpc_workers": 1,
            "rpc_state_report_workers": 0,
            "transport_url": _broker(passwords),
            "auth_strategy": "keystone",
            "notify_nova_on_port_status_changes": True,
            "notify_nova_on_port_data_changes": True,
            "state_path": layout.STATE / "neutron",
            "api_paste_config": venv / "etc/neutron/api-paste.ini",
            "dhcp_agent_notification": False,
        },
        # Everything in the lab is root already: no sudo.
        "agent": {"root_helper": "env", "report_interval": 15},
        "database": {"connection": database_url("neutron", passwords)},
        "experimental": {"linuxbridge": True},
        "oslo_concurrency": _locks(),
        "keystone_authtoken": _authtoken("neutron", passwords),
        "nova": _service("nova", passwords),
    }


ML2: Sections = {
    "ml2": {
        "type_drivers": "flat,local",
        "tenant_network_types": "local",
        "mechanism_drivers": "linuxbridge",
        "extension_drivers": "port_security",
    },
    "ml2_type_flat": {"flat_networks": f"{layout.PHYSICAL_NETWORK},{layout.EXTERNAL_PHYSICAL_NETWORK}"},
    "securitygroup": {"enable_security_group": True, "enable_ipset": True},
}
LINUXBRIDGE: Sections = {
    "linux_bridge": {
        "physical_interface_mappings": f"{layout.PHYSICAL_NETWORK}:{layout.PROVIDER_LINK},"
        f"{layout.EXTERNAL_PHYSICAL_NETWORK}:{layout.EXTERNAL_LINK}"
    },
    "vxlan": {"enable_vxlan": False},
    "securitygroup": {"firewall_driver": "iptables", "enable_ipset": True},
    "agent": {"polling_interval": 1},
}
L3: Sections = {
    # Hosts get their data by a seed, so no router answers for the metadata service.
    "DEFAULT": {"interface_driver": "linuxbridge", "agent_mode": "legacy", "enable_metadata_proxy": False},
}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _broker(passwords: Passwords) -> str:
    return f"rabbit://lab:{passwords.broker}@{_LOCAL}:{layout.BROKER_PORT}/"


def _locks() -> dict[str, object]:
    return {"lock_path": layout.RUN / "lock"}


def _account(user: str, passwords: Passwords) -> dict[str, object]:
    return {
        "auth_url": layout.KEYSTONE_URL,
        "auth_type": "password",
        "project_domain_id": "default",
        "user_domain_id": "default",
        "project_name": "service",
        "username": user,
        "password": passwords.service,
    }


def _authtoken(user: str, passwords: Passwords) -> dict[str, object]:
    return {
        "www_authenticate_uri": layout.KEYSTONE_URL,
        **_account(user, passwords),
        "service_token_roles": "service",
        "service_token_roles_required": True,
    }


def _service(user: str, passwords: Passwords) -> dict[str, object]:
    return {**_account(user, passwords), "region_name": layout.REGION}
