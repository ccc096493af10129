"""How hosts are reached, and who may."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from q8s_infra.defaults import LOOPBACK
from q8s_infra.spec.types import Cidr, Model, Name, PortRange

UserName = Annotated[str, StringConstraints(pattern=r"^[a-z_][-a-z0-9_]{0,31}$")]
HostKeyLine = Annotated[
    str, StringConstraints(pattern=r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp[0-9]+) [A-Za-z0-9+/=]+( [^\r\n]*)?$")
]


class Bastion(Model):
    """A machine that SSH and the API server's clients go through, with its host key pinned like any other."""

    host: Name = Field(description="Its name or address.")
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
    ssh_public_keys: tuple[HostKeyLine, ...] = Field(default=(), description="Further keys that may log in.")

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
