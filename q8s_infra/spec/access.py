"""How hosts are reached, and who may."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from q8s_infra.defaults import LOOPBACK, SSH_PORT
from q8s_infra.spec.types import Cidr, Model, Name, PortRange, form, matching

_USER: Final = (
    "a login is letters a to z, digits, '-' and '_', 1 to 32 of them, and begins with a letter or '_' (no capitals)"
)
_KINDS: Final = r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521))"
_WITH_TOKEN: Final = r"sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com"
"""Keys of hardware tokens (FIDO): users have them, hosts do not."""
_REST: Final = r" [A-Za-z0-9+/]+=*( [^\x00-\x1f\x7f-\x9f\u2028\u2029\U00010000-\U0010ffff]*)?"
"""Base64 and a comment: in one line to cloud-init, too, and of what its YAML reads as JSON writes it."""


def _without_line_end(given: Any) -> Any:
    """A key as it is in a file, or as ``$(cat file)`` or a block of YAML has it."""
    return given.strip() if isinstance(given, str) else given


def _is_public(given: str) -> str:
    if "PRIVATE KEY" in given:
        raise ValueError("is a private key: give the public one, the file whose name ends with .pub")
    return given


UserName = Annotated[str, matching(r"[a-z_][-a-z0-9_]{0,31}", _USER)]
HostKeyLine = Annotated[
    str,
    BeforeValidator(_without_line_end),
    AfterValidator(_is_public),
    matching(
        f"{_KINDS}{_REST}",
        "a host key is its type (ssh-ed25519, ssh-rsa or ecdsa-sha2-nistp256, 384 or 521) and its base64, in one line "
        "and without the host's name before it: the last two columns of `ssh-keyscan HOST`",
    ),
    form("ssh-public-key"),
]
LoginKeyLine = Annotated[
    str,
    BeforeValidator(_without_line_end),
    AfterValidator(_is_public),
    matching(
        f"({_KINDS}|{_WITH_TOKEN}){_REST}",
        "an SSH public key is one line of a .pub file, without options before it: its type (ssh-ed25519, ssh-rsa, "
        "ecdsa-sha2-nistp256, 384 or 521, sk-ssh-ed25519@openssh.com or sk-ecdsa-sha2-nistp256@openssh.com), its "
        "base64 and a comment (no control characters, no emoji)",
    ),
    form("ssh-public-key"),
]
Host = Annotated[
    Name,
    matching(
        r"[A-Za-z0-9_:]([A-Za-z0-9_.:-]*[A-Za-z0-9.:])?",
        "a host is its name or address alone: its login and its port have fields of their own",
    ),
]


class Bastion(Model):
    """A machine that SSH and the API server's clients go through, with its host key pinned like any other."""

    host: Host = Field(description="Its name or address.")
    user: UserName = Field(description="Whom to log in as.")
    private_key_file: Path = Field(description="Private key for the bastion, a file on the machine that runs Pulumi.")
    host_key: HostKeyLine = Field(description="The bastion's public host key, as in known_hosts: type and base64.")
    port: int = Field(default=22, ge=1, le=65535, description="Its SSH port.")
    local_port: int = Field(
        default=16443,
        ge=1024,
        le=65535,
        description="Port of the machine that runs Pulumi where the proxy to the API server listens; another one for "
        "each bastion.",
    )

    @property
    def proxy_url(self) -> str:
        """Where who takes the kubeconfig finds the way through the bastion."""
        return f"socks5://{LOOPBACK}:{self.local_port}"

    def private_key(self) -> str:
        """The private key's text; a secret.

        Raises:
            OSError: the file can't be read.
        """
        return self.private_key_file.expanduser().read_text(encoding="utf-8")


class Access(Model):
    """How this program and its users reach the hosts."""

    mode: Literal["direct", "floatingIp", "bastion"] = Field(
        default="direct",
        description="direct: by the address on the network; floatingIp: one, of the first control plane, through which "
        "the others are reached; bastion: through one.",
    )
    user: UserName = Field(default="ubuntu", description="Login of the host image, and of the guests.")
    external_network: Name | None = Field(
        default=None, validate_default=True, description="Where floating IPs come from, by name or id."
    )
    bastion: Bastion | None = Field(
        default=None, validate_default=True, description="The machine in between, with mode bastion."
    )
    allowed_cidrs: tuple[Cidr, ...] = Field(
        default=(), description="Who may reach SSH and the API server from outside the cluster."
    )
    ssh_public_keys: tuple[LoginKeyLine, ...] = Field(
        default=(), description="Further keys that may log in. Hosts and running guests follow each edit."
    )

    @field_validator("external_network", "bastion")
    @classmethod
    def _goes_with_its_mode(cls, given: Any, info: ValidationInfo) -> Any:
        mode = {"external_network": "floatingIp", "bastion": "bastion"}[str(info.field_name)]
        if "mode" in info.data and (info.data["mode"] == mode) != (given is not None):
            raise ValueError(f"goes with mode {mode}, and only with it")
        return given


class OpenPorts(Model):
    """Ports of all nodes that are open to the world or a part of it, beside SSH and the API server."""

    tcp: tuple[PortRange, ...] = Field(default=(), description="TCP ports or ranges (8080, 8000-8010).")
    udp: tuple[PortRange, ...] = Field(default=(), description="UDP ports or ranges.")
    cidr: Cidr = Field(default=IPv4Network("0.0.0.0/0"), description="Who may come.")

    def has_tcp(self, port: int) -> bool:
        """Whether a TCP port is open to whom ``cidr`` says."""
        return any(low <= port <= high for low, high in self.tcp)


Role = Literal["nodes", "control-planes"]
"""Whom a security group of the cluster is for: all nodes, or control planes, which are in both groups."""


def group_name(cluster: str, role: Role) -> str:
    """The name of a cluster's security group in OpenStack."""
    return cluster if role == "nodes" else f"{cluster}-{role}"


def shut_out(
    access: Access, open_ports: OpenPorts, security_groups: Collection[str], *, all_in_cluster: bool
) -> list[str]:
    """The mistake that not even this program can reach the hosts; a bastion may be of the cluster's group.

    Args:
        access: how hosts are reached.
        open_ports: what else is open.
        security_groups: further ones.
        all_in_cluster: all ports are open to members of the cluster's group.
    """
    in_group = access.mode == "bastion" and all_in_cluster
    if in_group or access.allowed_cidrs or security_groups or open_ports.has_tcp(SSH_PORT):
        return []
    return [
        "access.allowedCidrs: is empty, so the hosts could not be reached, not even by this program: name the network "
        "of the machine that runs Pulumi or of the bastion, such as 203.0.113.7/32, or a group in securityGroups that "
        "lets it in"
    ]


def of_own_group(cluster: str, security_groups: Sequence[str]) -> list[str]:
    """Mistakes: further security groups with the name of one that the cluster has anyway."""
    return [
        f"securityGroups.{at}: {name} is a group that this cluster makes for itself, name others only"
        for at, name in enumerate(security_groups)
        if name in {group_name(cluster, role) for role in get_args(Role)}
    ]
