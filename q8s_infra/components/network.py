"""What nodes share in OpenStack: the network they are on, the security groups, the key pair, the server group."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_openstack as openstack
from pulumi_command import local

from q8s_infra.components.keys import ClusterKeys
from q8s_infra.in_use import deletion
from q8s_infra.render.rules import Rule, description, rules
from q8s_infra.spec import ClusterSpec
from q8s_infra.spec.access import Role, group_name
from q8s_infra.spec.types import is_id
from q8s_infra.state.read import qualified_stack


class ClusterNetwork(pulumi.ComponentResource):
    """Security groups with exactly the rules that the cluster needs, a key pair, and the network's id.

    Attributes:
        group_id: id of the security group of all nodes, which tells the cluster's ports and instances from all others.
        server_group: what keeps control planes apart; None where nothing does.
        subnet_id: the subnet that new ports get their address from; None where Neutron may choose.
        image_id: what new hosts boot; None where the image is gone, which is no matter to those that are there.
        last: deleted after all ports and before the security groups; fails at once where other ports still use these.
        first: the node that a floating address leads to, and through which all others are reached then.
        floating: that address; None where hosts are reached by their own, or through a bastion.
    """

    def __init__(
        self,
        name: str,
        spec: ClusterSpec,
        keys: ClusterKeys,
        *,
        first: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("q8s:index:ClusterNetwork", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        invoke = pulumi.InvokeOptions(parent=self)
        self.network_id: str = _network_id(spec.network.id or spec.network.name or "", invoke)
        self.subnet_id = _subnet_id(spec.network.subnet, self.network_id, invoke)
        self.image_id = _image_id(spec.host_image.name, invoke)
        wanted = rules(spec)
        self._groups: dict[Role, openstack.networking.SecGroup] = {"nodes": self._group(f"{name}-group", "nodes", spec)}
        if any(rule.group == "control-planes" for rule in wanted):
            self._groups["control-planes"] = self._group(f"{name}-control-planes-group", "control-planes", spec)
        self.group_id: pulumi.Output[str] = self._groups["nodes"].id
        self.last = _last_of(name, [group.id for group in self._groups.values()], self)
        for rule in wanted:
            self._rule(f"{name}-{rule.name}", rule)
        self._further_groups = [_group_id(other, invoke) for other in spec.security_groups]
        self.keypair = openstack.compute.Keypair(f"{name}-keypair", name=name, public_key=keys.public_key, opts=child)
        self.server_group: openstack.compute.ServerGroup | None = None
        if policy := spec.server_group_policy:
            self.server_group = openstack.compute.ServerGroup(
                f"{name}-server-group", name=spec.server_group_name, policies=policy, opts=child
            )
        self.first = first
        self.floating: openstack.networking.FloatingIp | None = None
        if external := spec.access.external_network:
            # By itself, as it stays when the host that it leads to is made anew.
            self.floating = openstack.networking.FloatingIp(
                f"{name}-floating-ip",
                pool=_network_name(external, invoke),
                description=description(name),
                tags=list(spec.tags),
                opts=child,
            )
        self.register_outputs({})

    def security_group_ids(self, *, control_plane: bool) -> list[pulumi.Input[str]]:
        """The security groups of a node's port."""
        roles: tuple[Role, ...] = ("nodes", "control-planes") if control_plane else ("nodes",)
        return [*(self._groups[role].id for role in roles if role in self._groups), *self._further_groups]

    def _group(self, name: str, role: Role, spec: ClusterSpec) -> openstack.networking.SecGroup:
        return openstack.networking.SecGroup(
            name,
            name=group_name(spec.name, role),
            description=description(spec.name),
            tags=list(spec.tags),
            # What goes out is ruled by the group of all nodes, whose default rules are the site's choice.
            delete_default_rules=True if role == "control-planes" else None,
            # Neutron refuses to delete one that is in use, and the provider would ask it again for ten minutes.
            opts=pulumi.ResourceOptions(parent=self, custom_timeouts=pulumi.CustomTimeouts(delete="1m")),
        )

    def _rule(self, name: str, rule: Rule) -> None:
        openstack.networking.SecGroupRule(
            name,
            direction="ingress",
            ethertype="IPv4",
            security_group_id=self._groups[rule.group].id,
            protocol=rule.protocol,
            port_range_min=rule.low,
            port_range_max=rule.high,
            remote_ip_prefix=rule.cidr,
            remote_group_id=self._groups[rule.source].id if rule.source else None,
            # Neutron refuses a second rule like the first (409), so the old one has to go first.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )


def _network_id(given: str, invoke: pulumi.InvokeOptions) -> str:
    return given if is_id(given) else openstack.networking.get_network(name=given, opts=invoke).id


def _network_name(given: str, invoke: pulumi.InvokeOptions) -> str | None:
    """The name: Pulumi's provider takes the network of a floating IP by nothing else."""
    return openstack.networking.get_network(network_id=given, opts=invoke).name if is_id(given) else given


def _group_id(given: str, invoke: pulumi.InvokeOptions) -> str:
    return given if is_id(given) else openstack.networking.get_sec_group(name=given, opts=invoke).id


def _last_of(name: str, groups: Sequence[pulumi.Input[str]], parent: pulumi.Resource) -> pulumi.Resource:
    """The stack's own look at what stands in the way of its end: a destroy does not run the program."""
    return local.Command(
        f"{name}-in-use",
        create="true",
        delete=pulumi.Output.all(*groups).apply(lambda known: deletion(known, qualified_stack())),
        logging=local.Logging.STDERR,
        add_previous_output_in_env=False,
        opts=pulumi.ResourceOptions(parent=parent, delete_before_replace=True),
    )


def _image_id(given: str, invoke: pulumi.InvokeOptions) -> str | None:
    """By id, or the newest of those that are called so: publishers and sites upload each release under one name."""
    if is_id(given):
        return given
    return next(iter(openstack.images.get_image_ids(name=given, sort="created_at:desc", opts=invoke).ids), None)


def _subnet_id(given: str | None, network_id: str, invoke: pulumi.InvokeOptions) -> str | None:
    if given is None or is_id(given):
        return given
    return openstack.networking.get_subnet(name=given, network_id=network_id, ip_version=4, opts=invoke).id
