"""The OpenStack plugin knows the tokens and properties of the SDK: a preview needs no cloud."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING

import pulumi_openstack

from lab.artifact import REPOSITORY

if TYPE_CHECKING:
    from tests.plugins.conftest import Stack


def test_resources_preview_without_a_cloud(stack: Stack) -> None:
    stack.write(
        dedent("""
        import pulumi
        import pulumi_openstack as openstack
        provider = openstack.Provider("cloud", auth_url="http://127.0.0.1:1/v3", application_credential_id="a",
            application_credential_secret=pulumi.Output.secret("credential-0123456789"), delayed_auth=True)
        o = pulumi.ResourceOptions(provider=provider)
        group = openstack.networking.SecGroup("group", description="d", delete_default_rules=True, tags=["t"], opts=o)
        openstack.networking.SecGroupRule("rule", direction="ingress", ethertype="IPv4", protocol="tcp",
            port_range_min=22, port_range_max=22, remote_ip_prefix="10.0.0.0/8", security_group_id=group.id, opts=o)
        key = openstack.compute.Keypair("key", public_key="ssh-ed25519 AAAA", opts=o)
        port = openstack.networking.Port("port", network_id="n", security_group_ids=[group.id], admin_state_up=True,
            fixed_ips=[openstack.networking.PortFixedIpArgs(subnet_id="s")], tags=["t"], opts=o)
        servers = openstack.compute.ServerGroup("servers", policies="soft-anti-affinity", opts=o)
        openstack.compute.Instance("host", image_id="i", flavor_name="f", key_pair=key.name, user_data="#cloud-config",
            networks=[openstack.compute.InstanceNetworkArgs(port=port.id)], tags=["t"], metadata={"a": "b"},
            scheduler_hints=[openstack.compute.InstanceSchedulerHintArgs(group=servers.id)], opts=o)
        floating = openstack.networking.FloatingIp("floating", pool="public", opts=o)
        openstack.networking.FloatingIpAssociate("associate", floating_ip=floating.address, port_id=port.id, opts=o)
        """)
    )
    output = stack.run("preview", "--diff")
    assert "10 to create" in output
    assert "credential-0123456789" not in output


def test_tokens_are_those_of_the_sdk() -> None:
    source = (REPOSITORY / "lab" / "go" / "pulumi-resource-openstack" / "main.go").read_text()
    members = re.findall(r'"[a-z0-9_]+":\s+"(\w+/\w+)"', source)
    assert len(members) > 20
    for member in members:
        module, name = member.split("/")
        python = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower() if name.startswith("get") else name
        assert hasattr(getattr(pulumi_openstack, module), python), member
