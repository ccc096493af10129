"""Where things of the lab are: folders, addresses, ports, names. Nothing else decides them.

Two labs can run side by side, each in its own namespace, where ``Q8S_LAB_STATE``, ``Q8S_LAB_RUN`` and ``Q8S_LAB_LOGS``
name different folders; that is how the lab's own tests break things without harm to a lab in use.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

STATE: Final = Path(os.environ.get("Q8S_LAB_STATE", "/var/lib/q8s-lab"))
"""What survives a restart of the lab: databases, images, hosts' disks, stacks."""
RUN: Final = Path(os.environ.get("Q8S_LAB_RUN", "/run/q8s-lab"))
"""What does not: sockets, namespaces, rendered configuration."""
LOGS: Final = Path(os.environ.get("Q8S_LAB_LOGS", "/var/log/q8s-lab"))
"""A log for each service, <service>.log."""
TOOLS: Final = STATE / "tools" / "bin"
"""Pulumi, its plugins and kubectl; each lab has its own, since another checkout may want other ones."""
ETC: Final = RUN / "etc"
NAMESPACES: Final = RUN / "ns"
INSTANCES: Final = STATE / "nova" / "instances"
VOLUMES: Final = STATE / "cinder" / "volumes"
SECRETS: Final = STATE / "secrets.json"

CLOUDS_YAML: Final = STATE / "clouds.yaml"
CLOUD: Final = "q8s"
REGION: Final = "RegionOne"
PROJECT: Final = "q8s"
MEMBER: Final = "q8s-member"

LOOPBACK: Final = "127.0.0.1"
DATABASE_PORT: Final = 13306
BROKER_PORT: Final = 5673
EPMD_PORT: Final = 14369
KEYSTONE_PORT: Final = 5000
GLANCE_PORT: Final = 9292
PLACEMENT_PORT: Final = 8778
NOVA_PORT: Final = 8774
NEUTRON_PORT: Final = 9696
CINDER_PORT: Final = 8776
KEYSTONE_URL: Final = f"http://{LOOPBACK}:{KEYSTONE_PORT}/v3"

PRIVATE_NETWORK: Final = "private"
PRIVATE_CIDR: Final = "10.254.1.0/24"
PRIVATE_GATEWAY: Final = "10.254.1.1"
PRIVATE_POOL: Final = ("10.254.1.10", "10.254.1.250")
PHYSICAL_NETWORK: Final = "physnet1"
PROVIDER_LINK: Final = "provider"
"""The lab's end of the link to the router: Neutron puts it into the network's bridge."""

EXTERNAL_NETWORK: Final = "public"
EXTERNAL_CIDR: Final = "10.254.2.0/24"
EXTERNAL_GATEWAY: Final = "10.254.2.1"
EXTERNAL_POOL: Final = ("10.254.2.10", "10.254.2.250")
EXTERNAL_PHYSICAL_NETWORK: Final = "physnet2"
EXTERNAL_LINK: Final = "external"
"""As the provider link, for the network of floating addresses."""

ROUTER: Final = "q8s-gw"
"""Network namespace of the router between the private network and the lab: security groups see what crosses it."""
UPLINK_CIDR: Final = "10.78.0.0/30"
MIRROR_ADDRESS: Final = "10.78.0.1"
ROUTER_ADDRESS: Final = "10.78.0.2"
UPLINK_PREFIX: Final = 30
MIRROR_PORT: Final = 80
REGISTRY_PORT: Final = 5001

HOST_IMAGE: Final = "debian-12"
HOST_ROOT: Final = "q8s_host_root"
"""Property of a host image that is not the lab's own one: the path of its root file system."""
FLAVORS: Final = {
    "c1.small": (2, 2048, 20),
    "c1.medium": (2, 4096, 40),
    "c1.large": (8, 8192, 60),
    "c1.medium.diskless": (2, 4096, 0),
}
"""CPUs, memory in MiB and disk in GiB, as in the prototype's published cluster; and of hosts that boot from volumes."""
