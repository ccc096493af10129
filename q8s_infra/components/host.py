"""A host: one OpenStack instance with a port of its own, reachable by a pinned SSH connection."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

import pulumi
import pulumi_openstack as openstack
from pulumi_command import remote

from q8s_infra.components.keys import ClusterKeys
from q8s_infra.components.network import ClusterNetwork
from q8s_infra.drift import OWNER
from q8s_infra.hostkeys import HostKey
from q8s_infra.plan import ControlPlane, Worker
from q8s_infra.remote import shell
from q8s_infra.render.templates import render
from q8s_infra.spec import BootVolume, ClusterSpec

# 60 dials with the provider's back-off are about 4 minutes: a cloud image's first boot on a busy cloud.
_DIALS = 60
_SECONDS_PER_DIAL = 10

# What a new host is made from is no reason to make a running one anew (docs/decisions/0006).
# By its name the image is known to instances of earlier releases.
_OF_NEW_ONES: Final = (
    *("imageName", "imageId", "blockDevices"),
    *("userData", "availabilityZone", "configDrive", "schedulerHints"),
)


class Host(pulumi.ComponentResource):
    """An instance and the way to it.

    Attributes:
        instance: the OpenStack instance.
        address: its IPv4 address on the cluster's network, also the node's.
        endpoint: the address under which this program and its users reach it.
        shell: where its steps run.
    """

    def __init__(
        self,
        planned: ControlPlane | Worker,
        *,
        spec: ClusterSpec,
        network: ClusterNetwork,
        keys: ClusterKeys,
        server_group: openstack.compute.ServerGroup | None = None,
        keeps_flavor: bool = False,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the host.

        Args:
            planned: the node; the instance is called as it is.
            spec: the cluster.
            network: the cluster's network.
            keys: the cluster's keys.
            server_group: the instance's; None where it is in none.
            keeps_flavor: an edit of the flavor is for hosts that are yet to be made; else it makes another host.
            after: what the instance is made after.
            opts: the component's options.
        """
        name = planned.name
        super().__init__("q8s:index:Host", name, None, opts)
        port = openstack.networking.Port(
            f"{name}-port",
            name=name,
            network_id=network.network_id,
            fixed_ips=[openstack.networking.PortFixedIpArgs(subnet_id=network.subnet_id)]
            if network.subnet_id
            else None,
            security_group_ids=network.security_group_ids(control_plane=isinstance(planned, ControlPlane)),
            admin_state_up=True,
            tags=list(spec.tags),
            # Another subnet is for ports that are yet to be made: a running node keeps its address.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[network.last], ignore_changes=["fixedIps"]),
        )
        host_key = keys.host_key(f"host/{name}")
        self.instance = openstack.compute.Instance(
            name,
            name=name,
            flavor_name=planned.flavor,
            # A volume has the image on it: the instance is given none.
            image_id=None if planned.boot_volume else network.image_id,
            block_devices=[_on_volume(planned.boot_volume, network.image_id)] if planned.boot_volume else None,
            key_pair=network.keypair.name,
            networks=[openstack.compute.InstanceNetworkArgs(port=port.id)],
            user_data=host_key.apply(_user_data),
            availability_zone=planned.availability_zone,
            config_drive=spec.config_drive,
            scheduler_hints=[openstack.compute.InstanceSchedulerHintArgs(group=server_group.id)]
            if server_group
            else None,
            tags=list(spec.tags),
            # What tells this stack's instances from all others, whatever they are called (q8s_infra/drift.py).
            metadata={OWNER: network.group_id},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(after),
                # The port can serve one instance at a time.
                delete_before_replace=True,
                # A resized host would keep half of its old life: another flavor is another host.
                replace_on_changes=["flavorName"],
                ignore_changes=[*_OF_NEW_ONES, *(["flavorName"] if keeps_flavor else [])],
            ),
        )
        self.address: pulumi.Output[str] = port.all_fixed_ips.apply(lambda addresses: ipv4(name, addresses))
        self.endpoint = self._endpoint(name, network, port)
        connection = remote.ConnectionArgs(
            host=self.endpoint,
            user=spec.access.user,
            private_key=keys.private_key,
            host_key=pulumi.Output.unsecret(host_key.apply(lambda key: key.public)),
            dial_error_limit=_DIALS,
            per_dial_timeout=_SECONDS_PER_DIAL,
            proxy=_through(name, spec, network, keys),
        )
        self.shell = shell(name, connection, self.instance, parent=self)
        self.register_outputs({"address": self.address})

    def _endpoint(self, name: str, network: ClusterNetwork, port: openstack.networking.Port) -> pulumi.Output[str]:
        if network.floating is None or name != network.first:
            return self.address
        leads_here = openstack.networking.FloatingIpAssociate(
            f"{name}-floating-ip",
            floating_ip=network.floating.address,
            port_id=port.id,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        # The address answers when the instance is there.
        return pulumi.Output.all(leads_here.floating_ip, self.instance.id).apply(lambda given: str(given[0]))


def ipv4(name: str, addresses: Sequence[str]) -> str:
    """The first IPv4 address of a port: on a network with IPv6, too, it has addresses of both.

    Raises:
        pulumi.RunError: there is none.
    """
    found = next((each for each in addresses if ip_address(each).version == 4), None)  # noqa: PLR2004 - IPv4
    if found is None:
        raise pulumi.RunError(f"node {name}, layer OpenStack: its port has no IPv4 address, only {list(addresses)}")
    return found


def _on_volume(volume: BootVolume, image_id: str | None) -> openstack.compute.InstanceBlockDeviceArgs:
    return openstack.compute.InstanceBlockDeviceArgs(
        source_type="image",
        uuid=image_id,
        destination_type="volume",
        volume_size=int(volume.size.gib),
        volume_type=volume.type,
        boot_index=0,
        delete_on_termination=True,
    )


def _user_data(host_key: HostKey) -> str:
    return render("host.yaml.j2", host_key=host_key)


def _through(
    name: str, spec: ClusterSpec, network: ClusterNetwork, keys: ClusterKeys
) -> remote.ProxyConnectionArgs | None:
    """The machine that SSH goes through: the bastion, or the control plane that has the floating address."""
    if network.floating is not None and name != network.first:
        return remote.ProxyConnectionArgs(
            host=network.floating.address,
            user=spec.access.user,
            private_key=keys.private_key,
            host_key=pulumi.Output.unsecret(keys.host_key(f"host/{network.first}").apply(lambda key: key.public)),
            dial_error_limit=_DIALS,
            per_dial_timeout=_SECONDS_PER_DIAL,
        )
    bastion = spec.access.bastion
    if bastion is None:
        return None
    return remote.ProxyConnectionArgs(
        host=bastion.host,
        port=bastion.port,
        user=bastion.user,
        private_key=pulumi.Output.secret(bastion.private_key()),
        host_key=bastion.host_key,
        dial_error_limit=_DIALS,
        per_dial_timeout=_SECONDS_PER_DIAL,
    )
